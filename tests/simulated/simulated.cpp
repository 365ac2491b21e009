// A device of its own in plain memory, for machines without one: torch's kernels for the CPU do its work.
//
// It keeps CUDA's rule, which is what a release may break: all tensors that an operator takes are on the
// device, but for numbers (tensors of no dimension; here of all operators, with CUDA of most) and indices.
// Registered as torch's docs say for devices that torch does not know ("PrivateUse1").

#include <ATen/EmptyTensor.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <ATen/native/CPUFallback.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/convolution.h>
#include <ATen/ops/convolution_backward.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/resize_native.h>
#include <ATen/ops/set_cpu_dispatch.h>
#include <ATen/ops/set_native.h>
#include <ATen/ops/unfold_native.h>
#include <ATen/ops/view_native.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <c10/core/impl/alloc_cpu.h>
#include <torch/library.h>

#include <algorithm>
#include <cstring>

namespace {

using at::Tensor;
using Ints = c10::SymIntArrayRef;
template <typename T>
using Maybe = std::optional<T>;

constexpr auto kType = c10::DeviceType::PrivateUse1;
const c10::Device kDevice(kType, 0);
const c10::DispatchKeySet kKeys(c10::DispatchKey::PrivateUse1);

// --- memory, and what torch asks of every device ---

struct Memory final : c10::Allocator {
  static void release(void* pointer) { c10::free_cpu(pointer); }
  c10::DataPtr allocate(size_t bytes) override {
    void* pointer = c10::alloc_cpu(bytes);
    return {pointer, pointer, &release, kDevice};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &release; }
  void copy_data(void* to, const void* from, size_t bytes) const final { std::memcpy(to, from, bytes); }
};

Memory memory;
REGISTER_ALLOCATOR(kType, &memory);

struct Guard final : c10::impl::DeviceGuardImplInterface {
  static constexpr c10::DeviceType static_type = kType;
  c10::DeviceType type() const override { return kType; }
  c10::Device exchangeDevice(c10::Device) const override { return kDevice; }
  c10::Device getDevice() const override { return kDevice; }
  void setDevice(c10::Device) const override {}
  void uncheckedSetDevice(c10::Device) const noexcept override {}
  c10::DeviceIndex deviceCount() const noexcept override { return 1; }
  c10::Stream getStream(c10::Device) const override { return c10::Stream(c10::Stream::DEFAULT, kDevice); }
  c10::Stream getDefaultStream(c10::Device device) const override { return getStream(device); }
  c10::Stream exchangeStream(c10::Stream stream) const override { return stream; }
  bool queryStream(const c10::Stream&) const override { return true; }
  void synchronizeStream(const c10::Stream&) const override {}
  void record(void**, const c10::Stream&, c10::DeviceIndex, c10::EventFlag) const override {}
  void block(void*, const c10::Stream&) const override {}
  bool queryEvent(void*) const override { return true; }
  void destroyEvent(void*, c10::DeviceIndex) const noexcept override {}
};

C10_REGISTER_GUARD_IMPL(PrivateUse1, Guard);

struct Hooks final : at::PrivateUse1HooksInterface {
  void init() const override {}
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  c10::DeviceIndex deviceCount() const override { return 1; }
  c10::DeviceIndex getCurrentDevice() const override { return 0; }
  void setCurrentDevice(c10::DeviceIndex) const override {}
  c10::DeviceIndex exchangeDevice(c10::DeviceIndex) const override { return 0; }
  c10::DeviceIndex maybeExchangeDevice(c10::DeviceIndex) const override { return 0; }
  c10::Device getDeviceFromPtr(void*) const override { return kDevice; }
  void resizePrivateUse1Bytes(const c10::Storage& storage, size_t bytes) const override {
    auto fresh = memory.allocate(bytes);
    std::memcpy(fresh.get(), storage.data(), std::min(bytes, storage.nbytes()));
    storage.unsafeGetStorageImpl()->set_data_ptr_noswap(std::move(fresh));
    storage.unsafeGetStorageImpl()->set_nbytes(bytes);
  }
};

const bool registered = (at::RegisterPrivateUse1HooksInterface(new Hooks()), true);

// --- tensors: made, copied, and seen otherwise ---

Tensor on_host(const Tensor& tensor) {
  if (tensor.is_cpu()) return tensor;
  return at::from_blob(tensor.data_ptr(), tensor.sizes(), tensor.strides(), tensor.options().device(c10::kCPU));
}

Tensor on_device(const Tensor& host) {
  if (!host.defined()) return host;
  auto there = at::empty(host.sizes(), host.options().device(kDevice));
  on_host(there).copy_(host);
  return there;
}

Tensor empty(Ints size, Maybe<c10::ScalarType> dtype, Maybe<c10::Layout>, Maybe<c10::Device>, Maybe<bool>,
             Maybe<c10::MemoryFormat> format) {
  return at::detail::empty_generic(C10_AS_INTARRAYREF_SLOW(size), &memory, kKeys, c10::dtype_or_default(dtype), format);
}

Tensor empty_strided(Ints size, Ints stride, Maybe<c10::ScalarType> dtype, Maybe<c10::Layout>, Maybe<c10::Device>,
                     Maybe<bool>) {
  return at::detail::empty_strided_generic(C10_AS_INTARRAYREF_SLOW(size), C10_AS_INTARRAYREF_SLOW(stride), &memory,
                                           kKeys, c10::dtype_or_default(dtype));
}

Tensor copy_from(const Tensor& from, const Tensor& to, bool) {
  on_host(to).copy_(on_host(from));
  return to;
}

Tensor copy_from_and_resize(const Tensor& from, const Tensor& to) {
  to.resize_(from.sizes());
  return copy_from(from, to, false);
}

at::Scalar number(const Tensor& tensor) { return on_host(tensor).item(); }

Tensor as_strided(const Tensor& self, Ints size, Ints stride, Maybe<c10::SymInt> offset) {
  return at::native::as_strided_tensorimpl(self, C10_AS_INTARRAYREF_SLOW(size), C10_AS_INTARRAYREF_SLOW(stride),
                                           offset ? Maybe<int64_t>(offset->expect_int()) : std::nullopt);
}

Tensor view(const Tensor& self, Ints size) { return at::native::view(self, C10_AS_INTARRAYREF_SLOW(size)); }

Tensor reshape_alias(const Tensor& self, Ints size, Ints stride) {
  return at::native::_reshape_alias(self, C10_AS_INTARRAYREF_SLOW(size), C10_AS_INTARRAYREF_SLOW(stride));
}

const Tensor& resize(const Tensor& self, Ints size, Maybe<c10::MemoryFormat> format) {
  return at::native::resize_(self, C10_AS_INTARRAYREF_SLOW(size), format);
}

Tensor& set_part(Tensor& self, const at::Storage source, c10::SymInt offset, Ints size, Ints stride) {
  return at::cpu::set_(self, source, offset.expect_int(), C10_AS_INTARRAYREF_SLOW(size),
                       C10_AS_INTARRAYREF_SLOW(stride));
}

Tensor& set_whole(Tensor& self, at::Storage source) {
  return at::cpu::set_(self, source, 0, static_cast<int64_t>(source.nbytes() / self.dtype().itemsize()), {});
}

// --- operators: CUDA's rule, then the CPU's kernel ---

void must_be_here(const Tensor& tensor, const std::string& name) {
  TORCH_CHECK(!tensor.defined() || !tensor.is_cpu() || tensor.dim() == 0,
              "Expected all tensors to be on the same device, but found at least two devices, ", kDevice,
              " and cpu! (in ", name, ")");
}

void on_the_cpu(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const auto& name = op.schema().name();
  const bool indices = name.find("index") != std::string::npos;
  for (const auto& value : torch::jit::last(stack, op.schema().arguments().size())) {
    if (value.isTensor()) must_be_here(value.toTensor(), name);
    if (value.isTensorList())
      for (const Tensor& each : value.toTensorVector()) must_be_here(each, name);
    if (value.isOptionalTensorList() && !indices)
      for (const auto& each : value.toOptionalTensorVector())
        if (each) must_be_here(*each, name);
  }
  at::native::cpu_fallback(op, stack);
}

Tensor convolution(const Tensor& input, const Tensor& weight, const Maybe<Tensor>& bias, Ints stride, Ints padding,
                   Ints dilation, bool transposed, Ints output_padding, c10::SymInt groups) {
  const bool biased = bias && bias->defined();
  for (const auto& each : {input, weight, biased ? *bias : weight}) must_be_here(each, "convolution");
  return on_device(at::convolution_symint(on_host(input), on_host(weight),
                                          biased ? Maybe<Tensor>(on_host(*bias)) : std::nullopt, stride, padding,
                                          dilation, transposed, output_padding, groups));
}

std::tuple<Tensor, Tensor, Tensor> convolution_backward(const Tensor& grad, const Tensor& input, const Tensor& weight,
                                                        Ints stride, Ints padding, Ints dilation, bool transposed,
                                                        Ints output_padding, c10::SymInt groups,
                                                        std::array<bool, 3> wanted) {
  for (const auto& each : {grad, input, weight}) must_be_here(each, "convolution_backward");
  const auto biases = transposed ? weight.sym_size(1) * groups : weight.sym_size(0);
  const auto [inputs, weights, bias] =
      at::convolution_backward_symint(on_host(grad), on_host(input), on_host(weight), Ints(&biases, 1), stride,
                                      padding, dilation, transposed, output_padding, groups, wanted);
  return {on_device(inputs), on_device(weights), on_device(bias)};
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("empty.memory_format", &empty);
  m.impl("empty_strided", &empty_strided);
  m.impl("_copy_from", &copy_from);
  m.impl("_copy_from_and_resize", &copy_from_and_resize);
  m.impl("_local_scalar_dense", &number);
  m.impl("as_strided", &as_strided);
  m.impl("view", &view);
  m.impl("_reshape_alias", &reshape_alias);
  m.impl("unfold", &at::native::unfold);
  m.impl("resize_", &resize);
  m.impl("set_.source_Storage", &set_whole);
  m.impl("set_.source_Storage_storage_offset", &set_part);
  m.impl("set_.source_Tensor", &at::native::set_tensor_);
  m.impl("convolution_overrideable", &convolution);
  m.impl("convolution_backward_overrideable", &convolution_backward);
}

TORCH_LIBRARY_IMPL(_, PrivateUse1, m) { m.fallback(torch::CppFunction::makeFromBoxedFunction<&on_the_cpu>()); }

}  // namespace
