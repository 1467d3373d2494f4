// The reference backend as a device of its own: no host code touches its memory, every fused op runs
// there as its composite, and one wrong element of any primitive is noticed by the op cases.
#include "keymix/backends/registry.h"
#include "keymix/ops/composite.h"
#include "keymix/ops/create.h"
#include "op_cases/run.h"
#include "reference_backend/install.h"
#include "reference_backend/reference_backend.h"
#include "support/catch.h"
#include "support/tensors.h"

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <map>

#include <sys/wait.h>
#include <unistd.h>

using namespace keymix;
using namespace keymix::testing;

namespace {

// Whether a child process that runs `action` dies of a signal.
bool crashes(const std::function<void()>& action) {
  const pid_t child = fork();
  if (child == 0) {
    for (const int signal : {SIGSEGV, SIGBUS}) std::signal(signal, SIG_DFL);
    action();
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFSIGNALED(status);
}

// Gets the last element of what one primitive writes wrong.
class FaultyBackend : public ReferenceBackend {
 public:
  FaultyBackend(Device device, std::string primitive)
      : ReferenceBackend(device), primitive_(std::move(primitive)) {}

  void copy(const MutView& y, const ConstView& x) override {
    ReferenceBackend::copy(y, x);
    spoil("copy", y);
  }
  void unary(UnaryOp op, const MutView& y, const ConstView& x, UnaryParams params) override {
    ReferenceBackend::unary(op, y, x, params);
    spoil("unary", y);
  }
  void binary(BinaryOp op, const MutView& y, const ConstView& a, const ConstView& b) override {
    ReferenceBackend::binary(op, y, a, b);
    spoil("binary", y);
  }
  void compare(CompareOp op, const MutView& y, const ConstView& a, const ConstView& b) override {
    ReferenceBackend::compare(op, y, a, b);
    spoil("compare", y);
  }
  void where(const MutView& y, const ConstView& condition, const ConstView& a,
             const ConstView& b) override {
    ReferenceBackend::where(y, condition, a, b);
    spoil("where", y);
  }
  void triangle(const MutView& y, const ConstView& x, std::int64_t diagonal, bool upper) override {
    ReferenceBackend::triangle(y, x, diagonal, upper);
    spoil("triangle", y);
  }
  void arange(const MutView& y, Scalar start, Scalar step) override {
    ReferenceBackend::arange(y, start, step);
    spoil("arange", y);
  }
  void reduce(ReduceOp op, const MutView& y, const ConstView& x) override {
    ReferenceBackend::reduce(op, y, x);
    spoil("reduce", y);
  }
  void arg_reduce(ReduceOp op, const MutView& y, const ConstView& x, int dim) override {
    ReferenceBackend::arg_reduce(op, y, x, dim);
    spoil("arg_reduce", y);
  }
  void cumsum(const MutView& y, const ConstView& x, int dim, bool reverse) override {
    ReferenceBackend::cumsum(y, x, dim, reverse);
    spoil("cumsum", y);
  }
  void sort(const MutView& values, const MutView& indices, const ConstView& x, int dim,
            bool descending) override {
    ReferenceBackend::sort(values, indices, x, dim, descending);
    spoil("sort", values);
    spoil("sort's indices", indices);
  }
  void matmul(const MutView& y, const ConstView& a, const ConstView& b) override {
    ReferenceBackend::matmul(y, a, b);
    spoil("matmul", y);
  }
  void fill(const MutView& y, Scalar value) override {
    ReferenceBackend::fill(y, value);
    spoil("fill", y);
  }
  void index_select(const MutView& y, const ConstView& x, const ConstView& index,
                    int dim) override {
    ReferenceBackend::index_select(y, x, index, dim);
    spoil("index_select", y);
  }
  void index_add(const MutView& y, const ConstView& index, const ConstView& x, int dim) override {
    ReferenceBackend::index_add(y, index, x, dim);
    spoil("index_add", y);
  }
  void index_copy(const MutView& y, const ConstView& index, const ConstView& x) override {
    ReferenceBackend::index_copy(y, index, x);
    spoil("index_copy", y);
  }
  void gather(const MutView& y, const ConstView& x, const ConstView& index, int dim) override {
    ReferenceBackend::gather(y, x, index, dim);
    spoil("gather", y);
  }
  void scatter_add(const MutView& y, const ConstView& index, const ConstView& x, int dim) override {
    ReferenceBackend::scatter_add(y, index, x, dim);
    spoil("scatter_add", y);
  }
  void nonzero(const MutView& y, const ConstView& x) override {
    ReferenceBackend::nonzero(y, x);
    spoil("nonzero", y);
  }
  void random(RandomKind kind, const MutView& y, PhiloxState state,
              const RandomParams& params) override {
    ReferenceBackend::random(kind, y, state, params);
    spoil("random", y, 0.5);  // less seldom turns a decision to drop
  }

 private:
  // Turns a bool, and moves a number by a little.
  void spoil(const char* primitive, MutView y, double by = 1e-3) {
    if (primitive_ != primitive || y.shape.numel() == 0) return;
    for (int d = 0; d < y.shape.ndim(); ++d)
      y.data = y.as<std::byte>() +
               (y.shape[d] - 1) * y.strides[d] * static_cast<std::int64_t>(size_of(y.dtype));
    y.shape = y.strides = {};
    if (y.dtype == bool_) return ReferenceBackend::unary(UnaryOp::logical_not, y, y, {});
    const std::shared_ptr<Storage> memory = allocate(size_of(y.dtype));
    const MutView step{memory->data, {}, {}, y.dtype};
    ReferenceBackend::fill(step, is_floating(y.dtype) ? by : 1.0);
    ReferenceBackend::binary(BinaryOp::add, y, y, step);
  }

  std::string primitive_;
};

// The name of the first op case that notices, or nothing.
std::string noticed_by(const std::string& primitive, const std::string& family) {
  static int index = 0;
  const Device device{DeviceKind::custom, 100 + index++};
  register_backend(device, std::make_unique<FaultyBackend>(device, primitive));
  std::string name;
  for (const Family& f : op_families())
    for (const OpCase& op_case : f.cases) {
      if (f.name != family || !name.empty()) continue;
      const TensorList bases = make_bases(op_case);
      const Run right = run_case(op_case, op_case.build, bases, float64);
      Run wrong;
      const std::string error = message_of(
          [&] { wrong = run_case(op_case, op_case.build, bases, float64, false, device); });
      if (error != "no error" || !run_difference(wrong, right, 1e-11, 1e-10).empty())
        name = op_case.name;
    }
  return name;
}

}  // namespace

TEST_CASE("the reference backend's memory is out of the host's reach", "[unit]") {
  const Tensor x = ones({3}, {.device = reference_device()});
  const auto* address = static_cast<const volatile float*>(view_of(x).data);
  CHECK(crashes([address] { (void)*address; }));
  CHECK(values(x) == std::vector<double>{1, 1, 1});

  Backend& backend = backend_for(reference_device());
  float on_host = 0;
  const auto refused = [&](void* data, const Shape& strides) {
    return message_of([&] { backend.fill({data, {3}, strides, float32}, 0.0); });
  };
  CHECK(refused(mut_view_of(x).data, {1}) == "no error");
  CHECK(refused(mut_view_of(x).data, {2}).starts_with("custom:0: 20 bytes at 0x"));
  CHECK(refused(&on_host, {0}).ends_with("lie in none of its storages"));
}

TEST_CASE("KEYMIX_TEST_BACKEND decides what serves cpu()", "[unit]") {
  const char* name = std::getenv("KEYMIX_TEST_BACKEND");
  const bool reference = name != nullptr && std::string(name) == "reference";
  const std::string description = backend_for(cpu()).description();
  CHECK((description == "cpu: plain loops in double (reference)") == reference);
}

TEST_CASE("has_backend says whether a device is served", "[unit]") {
  const Device nobody{DeviceKind::custom, 77};
  CHECK(has_backend(cpu()));
  CHECK(has_backend(reference_device()));
  CHECK_FALSE(has_backend(nobody));
  CHECK(
      message_of([&] { backend_for(nobody); }).starts_with("device: no backend serves custom:77"));
}

TEST_CASE("the reference backend counts its memory", "[unit]") {
  const Device device = reference_device();
  const std::size_t before = memory_stats(device).current;
  reset_peak_memory(device);
  {
    const Tensor x = zeros({100}, {.device = device});
    CHECK(memory_stats(device).current == before + 400);
  }
  CHECK(memory_stats(device).current == before);
  CHECK(memory_stats(device).peak == before + 400);
}

TEST_CASE("every fused op runs on the reference backend as its composite", "[unit]") {
  // By the name under which fallbacks are counted; activation_backward by one of its ops.
  std::map<std::string, std::int64_t> before;
  for (const char* op :
       {"linear", "softmax", "log_softmax", "layer_norm", "rms_norm", "bias_gelu", "glu", "swiglu",
        "rotary", "cross_entropy", "attention", "dropout", "silu"})
    before[op] = composite::fallback_count(op);
  const std::int64_t activations = composite::fallback_count("activation_backward");
  std::map<std::string, int> runs;
  for_each_case([&](const OpCase& op_case) {
    const std::string& op = op_case.ops.front();
    if (!before.contains(op) || ++runs[op] > 3) return;
    CHECK(message_of([&] {
            run_case(op_case, op_case.build, make_bases(op_case), float32, false,
                     reference_device());
          }) == "no error");
  });
  for (const auto& [op, count] : before) {
    INFO("op: " << op);
    CHECK(runs[op] > 0);
    if (op != "silu") CHECK(composite::fallback_count(op) > count);
  }
  CHECK(composite::fallback_count("activation_backward") > activations);
}

TEST_CASE("one wrong element of what any primitive writes is noticed by the op cases", "[unit]") {
  CHECK(noticed_by("none", "unary") == "");
  const std::vector<std::pair<std::string, std::string>> faults = {
      {"copy", "view"},          {"unary", "unary"},
      {"binary", "binary"},      {"compare", "binary"},
      {"where", "binary"},       {"triangle", "combine"},
      {"arange", "inplace"},     {"reduce", "reduce"},
      {"arg_reduce", "reduce"},  {"cumsum", "order"},
      {"sort", "order"},         {"sort's indices", "order"},
      {"matmul", "matmul"},      {"index_select", "indexing"},
      {"index_add", "indexing"}, {"index_copy", "inplace"},
      {"gather", "indexing"},    {"scatter_add", "indexing"},
      {"nonzero", "indexing"},   {"random", "loss"},
      {"fill", "combine"}};
  for (const auto& [primitive, family] : faults) {
    INFO("wrong: " << primitive << ", looked for in the family: " << family);
    CHECK(noticed_by(primitive, family) != "");
  }
}
