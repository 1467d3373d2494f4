// Tensor: a handle on row-major strided memory, with a record of how it was made.
//
//   Tensor x = randn({32, 784}, rng), w = randn({784, 10}, rng, {.requires_grad = true});
//   Tensor loss = square(matmul(x, w)).mean();
//   loss.backward();
//   Tensor row = x[3], left = x.slice(1, 0, 64), step = w.grad();
//
// Copying a Tensor copies the handle; views share storage. This header declares; it holds no
// maths and allocates nothing. Members that compute are defined beside the free functions of
// their family in ops/ (views, reductions, operators) or in autograd/ (backward, grad).
// Members are what reads left to right; everything else is a free function in ops/*.h.
//
// Shapes are NumPy's: row-major, -1 is the last dimension. dtypes promote as in core/dtype.h.
#pragma once

#include "keymix/core/dtype.h"
#include "keymix/core/shape.h"
#include "keymix/core/storage.h"

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <iosfwd>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <variant>
#include <vector>

namespace keymix {

class Tensor;
namespace autograd {
class Node;
}

// What a Tensor points to. Library code reads it through Tensor's accessors.
//
//   const TensorImpl& impl = x.impl();
//   const bool views_of_one = impl.storage == y.impl().storage;
struct TensorImpl {
  std::shared_ptr<Storage> storage;
  Shape shape;
  Shape strides;            // in elements
  std::int64_t offset = 0;  // in elements, from the storage's start
  DType dtype = DType::float32;

  // The node whose output this is; for a leaf that requires a gradient, the node that collects it.
  std::shared_ptr<autograd::Node> node;
  int output_index = 0;
  // What this views, for the rule on writing in place (detach() does not count as a view).
  std::shared_ptr<TensorImpl> base;

  TensorImpl() = default;
  TensorImpl(const TensorImpl&) = default;
  TensorImpl& operator=(const TensorImpl&) = default;
  ~TensorImpl();
};

// Half-open range with a step, as in Python. Negative bounds count from the end.
//
//   x.index({Slice(0, 10, 2), Slice(-3, std::nullopt)});  // x[0:10:2, -3:]
struct Slice {
  std::optional<std::int64_t> start = std::nullopt;
  std::optional<std::int64_t> stop = std::nullopt;
  std::int64_t step = 1;

  Slice() = default;
  Slice(std::optional<std::int64_t> start_, std::optional<std::int64_t> stop_,
        std::int64_t step_ = 1)
      : start(start_), stop(stop_), step(step_) {}
};

// A C++ number beside a tensor. It is weak: it takes the tensor's dtype, unless a fraction meets
// an integer tensor (float32) or an integer meets a bool tensor (int64).
//
//   x * 2 + 0.5;  // float32 for a float32 x
//   Tensor scaled(const Tensor& x, Scalar factor) { return x * factor; }
class Scalar {
 public:
  template <typename T, typename = std::enable_if_t<std::is_arithmetic_v<T>>>
  Scalar(T value)
      : kind_(std::is_floating_point_v<T> ? Kind::floating
              : std::is_same_v<T, bool>   ? Kind::boolean
                                          : Kind::integer) {
    if constexpr (std::is_floating_point_v<T>)
      floating_ = static_cast<double>(value);
    else
      integer_ = static_cast<std::int64_t>(value);
  }

  bool is_integer() const { return kind_ == Kind::integer; }
  bool is_floating() const { return kind_ == Kind::floating; }
  double to_double() const;
  std::int64_t to_int64() const;

 private:
  enum class Kind : unsigned char { boolean, integer, floating };

  Kind kind_;
  union {
    std::int64_t integer_;  // of a boolean too
    double floating_;
  };
};

using IndexItem = std::variant<std::int64_t, Slice, Tensor>;

//   const ReduceOptions keep{.keepdim = true};
//   Tensor centred = x - x.mean(-1, keep);
struct ReduceOptions {
  bool keepdim = false;
};
//   Tensor biased = x.var(-1, {.keepdim = true, .correction = 0});
struct VarOptions {
  bool keepdim = false;
  int correction = 1;  // divisor is count - correction (1: unbiased, as PyTorch)
};
//   loss.backward({.retain_graph = true});
//   loss.backward();  // again: adds the same once more
struct BackwardOptions {
  bool retain_graph = false;
  // Record the backward pass itself; implies retain_graph. Each grad() then has a history that
  // leads back to its own leaf, and both live until zero_grad(): grad(outputs, inputs) makes no
  // such circle.
  bool create_graph = false;
};

class Tensor {
 public:
  Tensor() = default;  // undefined: no memory, no shape
  explicit Tensor(std::shared_ptr<TensorImpl> impl) : impl_(std::move(impl)) {}
  Tensor(const Tensor&) = default;
  Tensor(Tensor&&) = default;
  // Only named tensors can be assigned to: `x[3] = y` would rebind a temporary handle and change
  // nothing, so it does not compile. Write x.index_put_({3}, y).
  Tensor& operator=(const Tensor&) & = default;
  Tensor& operator=(Tensor&&) & = default;

  // --- What it is (core/tensor.cpp) ---
  bool defined() const { return impl_ != nullptr; }
  const Shape& shape() const { return impl().shape; }
  std::int64_t size(int dim) const;  // -1 is the last dimension
  int ndim() const { return impl().shape.ndim(); }
  std::int64_t numel() const { return impl().shape.numel(); }
  const Shape& strides() const { return impl().strides; }
  DType dtype() const { return impl().dtype; }
  Device device() const { return impl().storage->device; }
  bool is_contiguous() const;
  std::uint64_t version() const { return impl().storage->version; }

  // Host memory of the first element; throws unless T is the dtype and the device is the CPU.
  // The pointer is to strided memory: use contiguous() for flat access.
  template <typename T>
  const T* data() const {
    return static_cast<const T*>(host_data(dtype_of<T>));
  }
  // As data(), for writing; counts as an in-place change. Throws when the memory is a file's.
  template <typename T>
  T* mutable_data() {
    return static_cast<T*>(mutable_host_data(dtype_of<T>));
  }

  // --- Views: they share storage and record themselves (ops/view.cpp) ---
  // One size may be -1 and is inferred. Copies only if no strides express the result.
  Tensor reshape(const Shape& shape) const;
  Tensor transpose(int dim0, int dim1) const;
  Tensor permute(std::initializer_list<int> dims) const;
  Tensor flatten(int first = 0, int last = -1) const;
  Tensor unsqueeze(int dim) const;
  Tensor squeeze(std::optional<int> dim = std::nullopt) const;  // all sizes of 1, or one of them
  Tensor expand(const Shape& shape) const;                      // -1 keeps a size
  // Elements start, start + step, … before stop along dim; bounds are clamped as in Python.
  Tensor slice(int dim, std::optional<std::int64_t> start, std::optional<std::int64_t> stop,
               std::int64_t step = 1) const;
  Tensor operator[](std::int64_t i) const;  // drops dimension 0
  Tensor contiguous() const;                // itself if it is already row-major

  // --- Indexing with ints, slices, integer tensors and bool masks (ops/indexing.cpp) ---
  Tensor index(const std::vector<IndexItem>& items) const;
  Tensor& index_put_(const std::vector<IndexItem>& items, const Tensor& values);

  // --- Conversion (ops/cast.cpp) ---
  Tensor to(DType dtype) const;
  Tensor to(Device device) const;
  Tensor clone() const;  // a row-major copy in memory of its own, with its history

  // --- Reductions (ops/reduce.cpp). Sums and products of integers are int64; mean, var and std
  // need floats. The dimensions default to keymix::all: inside this class, `all` is the member. ---
  Tensor sum(const Dims& dims = keymix::all, ReduceOptions options = {}) const;
  Tensor prod(const Dims& dims = keymix::all, ReduceOptions options = {}) const;
  Tensor mean(const Dims& dims = keymix::all, ReduceOptions options = {}) const;
  // The gradient is shared by ties.
  Tensor max(const Dims& dims = keymix::all, ReduceOptions options = {}) const;
  Tensor min(const Dims& dims = keymix::all, ReduceOptions options = {}) const;
  Tensor var(const Dims& dims = keymix::all, VarOptions options = {}) const;
  Tensor std(const Dims& dims = keymix::all, VarOptions options = {}) const;  // gradient 0 where 0
  // int64: the first of equal elements. No dimension: the position in row-major order.
  Tensor argmax(std::optional<int> dim = std::nullopt, ReduceOptions options = {}) const;
  Tensor argmin(std::optional<int> dim = std::nullopt, ReduceOptions options = {}) const;
  // bool: whether one, or every, element is not 0 (a NaN is not). Of nothing: false, true.
  Tensor any(const Dims& dims = keymix::all, ReduceOptions options = {}) const;
  Tensor all(const Dims& dims = keymix::all, ReduceOptions options = {}) const;

  // --- Reading one value (ops/cast.cpp) ---
  double item() const;  // throws unless there is exactly one element
  template <typename T>
  T item() const;  // also throws when T cannot hold the value

  // --- Gradients (autograd/tensor_autograd.cpp) ---
  bool requires_grad() const { return defined() && impl_->node != nullptr; }
  bool is_leaf() const;
  Tensor& requires_grad_(bool value = true);
  Tensor grad() const;  // undefined before the first backward()
  void set_grad(const Tensor& grad);
  void zero_grad();  // forgets the gradient
  // Gradients of a one-element tensor, or of sum(this * cotangent), added into every leaf.
  void backward(BackwardOptions options = {}) const;
  void backward(const Tensor& cotangent, BackwardOptions options = {}) const;
  Tensor detach() const;  // shares storage and version, no history
  // Called with the cotangent when it is complete; may return a replacement (or an undefined
  // tensor to leave it). Returns an id for remove_hook. Throws Error on an empty function, and unless
  // the tensor requires a gradient.
  std::int64_t register_hook(std::function<Tensor(const Tensor&)> hook);
  void remove_hook(std::int64_t id);

  // --- In place (ops/inplace.cpp): throws in grad mode if target, base or operand has a gradient ---
  Tensor& operator+=(const Tensor& other) &;
  Tensor& operator-=(const Tensor& other) &;
  Tensor& operator*=(const Tensor& other) &;
  Tensor& operator/=(const Tensor& other) &;
  Tensor& operator+=(Scalar other) &;
  Tensor& operator-=(Scalar other) &;
  Tensor& operator*=(Scalar other) &;
  Tensor& operator/=(Scalar other) &;
  Tensor& fill_(Scalar value);
  Tensor& copy_(const Tensor& source);                     // broadcasts and casts
  Tensor& masked_fill_(const Tensor& mask, Scalar value);  // bool; it broadcasts to the target

  // --- For the library ---
  TensorImpl& impl() const {
    if (!impl_) [[unlikely]]
      undefined();
    return *impl_;
  }
  const std::shared_ptr<TensorImpl>& handle() const { return impl_; }
  void bump_version() const { ++impl().storage->version; }

 private:
  [[noreturn]] static void undefined();
  const void* host_data(DType dtype) const;
  void* mutable_host_data(DType dtype);

  std::shared_ptr<TensorImpl> impl_;
};

using TensorList = std::vector<Tensor>;

// Arithmetic broadcasts and promotes (ops/binary.cpp); comparisons give bool tensors.
Tensor operator+(const Tensor& a, const Tensor& b);
Tensor operator-(const Tensor& a, const Tensor& b);
Tensor operator*(const Tensor& a, const Tensor& b);
Tensor operator/(const Tensor& a, const Tensor& b);  // integers divide as float32
Tensor operator+(const Tensor& a, Scalar b);
Tensor operator-(const Tensor& a, Scalar b);
Tensor operator*(const Tensor& a, Scalar b);
Tensor operator/(const Tensor& a, Scalar b);
Tensor operator+(Scalar a, const Tensor& b);
Tensor operator-(Scalar a, const Tensor& b);
Tensor operator*(Scalar a, const Tensor& b);
Tensor operator/(Scalar a, const Tensor& b);
Tensor operator-(const Tensor& x);

Tensor operator==(const Tensor& a, const Tensor& b);
Tensor operator!=(const Tensor& a, const Tensor& b);
Tensor operator<(const Tensor& a, const Tensor& b);
Tensor operator<=(const Tensor& a, const Tensor& b);
Tensor operator>(const Tensor& a, const Tensor& b);
Tensor operator>=(const Tensor& a, const Tensor& b);
Tensor operator==(const Tensor& a, Scalar b);
Tensor operator!=(const Tensor& a, Scalar b);
Tensor operator<(const Tensor& a, Scalar b);
Tensor operator<=(const Tensor& a, Scalar b);
Tensor operator>(const Tensor& a, Scalar b);
Tensor operator>=(const Tensor& a, Scalar b);

// Values as PyTorch prints them, aligned and shortened, with shape, dtype and device
// (ops/print.cpp).
std::string to_string(const Tensor& tensor);
std::ostream& operator<<(std::ostream& stream, const Tensor& tensor);

// Destroys `object` without recursion: objects released while another is being destroyed wait
// their turn in a list. Graphs are chains of shared pointers, and a chain of 100,000 nodes must
// not destroy itself 100,000 calls deep.
void release_iteratively(std::shared_ptr<void> object);

}  // namespace keymix

template <>
struct fmt::formatter<keymix::Tensor> : keymix::TextFormatter {
  auto format(const keymix::Tensor& tensor, fmt::format_context& context) const {
    return write(keymix::to_string(tensor), context);
  }
};
