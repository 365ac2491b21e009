"""What people read: the report of a run, a gate's and a bisection's answer, and tables of what is recorded.

A report is `sources` (results files, compared, and what they lack), `document` (all of it, as JSON), and from that
`formats` (the page, and Markdown) and `table` (the terminal's). `timeline`, `support` and `advice` say which release
shows which defect, works with which family, does a call right.
"""
