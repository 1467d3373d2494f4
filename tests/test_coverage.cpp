// Every public function that gives a tensor has a case in op_cases/, or stands below with a reason.
#include "support/catch.h"
#include "support/paths.h"
#include "support/declarations.h"
#include "support/op_case.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

using namespace keymix::testing;

namespace {

// Functions without an op case, and where they are tested instead.
const std::map<std::string, std::string> kElsewhere = {
    {"operator=", "rebinds a handle and computes nothing"},
    {"requires_grad_", "marks a leaf: autograd/test_engine.cpp"},
    {"grad", "reads a leaf's gradient: autograd/test_engine.cpp"},
    {"detach", "cuts the history: autograd/test_engine.cpp"},
    {"operator+=", "in place, without a gradient by definition: ops/test_inplace.cpp"},
    {"operator-=", "in place: ops/test_inplace.cpp"},
    {"operator*=", "in place: ops/test_inplace.cpp"},
    {"operator/=", "in place: ops/test_inplace.cpp"},
    {"fill_", "in place: ops/test_inplace.cpp"},
    {"allclose", "gives a bool, which is no tensor to compare: ops/test_logic.cpp"},
    {"zeros", "factory: ops/test_create.cpp"},
    {"ones", "factory: ops/test_create.cpp"},
    {"full", "factory: ops/test_create.cpp"},
    {"zeros_like", "factory: ops/test_create.cpp"},
    {"ones_like", "factory: ops/test_create.cpp"},
    {"full_like", "factory: ops/test_create.cpp"},
    {"arange", "factory: ops/test_create.cpp"},
    {"linspace", "factory: ops/test_create.cpp"},
    {"eye", "factory: ops/test_create.cpp"},
    {"from_values", "factory: ops/test_create.cpp"},
    {"tensor", "factory: ops/test_create.cpp"},
    {"rand", "random factory: ops/test_random.cpp"},
    {"uniform", "random factory: ops/test_random.cpp"},
    {"randn", "random factory: ops/test_random.cpp"},
    {"normal", "random factory: ops/test_random.cpp"},
    {"randint", "random factory: ops/test_random.cpp"},
    {"randperm", "random factory: ops/test_random.cpp"},
    {"bernoulli", "random factory: ops/test_random.cpp"},
};

bool gives_tensors(const Declaration& d) {
  return d.result == "Tensor" || d.result == "TensorList" || d.result == "AttentionResult" ||
         d.result == "SortResult";
}

// Members, such as Mask::empty and Tensor's own, describe their object: they are no ops.
bool answers(const Declaration& d, const std::filesystem::path& header) {
  return d.result == "bool" && d.name.find("::") == std::string::npos &&
         header.filename() != "tensor.h";
}

std::vector<Declaration> public_functions() {
  const std::filesystem::path root = source_path("");
  std::vector<std::filesystem::path> headers{root / "core" / "tensor.h"};
  for (const auto& entry : std::filesystem::directory_iterator(root / "ops"))
    // detail.h is not part of the public interface.
    if (entry.path().extension() == ".h" && entry.path().filename() != "detail.h")
      headers.push_back(entry.path());
  std::vector<Declaration> all_found;
  for (const auto& header : headers)
    for (const Declaration& d : declarations_in(read_file(header.string())))
      if (gives_tensors(d) || answers(d, header)) all_found.push_back(d);
  return all_found;
}

// Functions by the name a case must use: the signature where a name is overloaded.
std::map<std::string, Declaration> by_case_name() {
  const std::vector<Declaration> functions = public_functions();
  std::map<std::string, Declaration> result;
  for (const Declaration& d : functions) {
    const auto overloads = std::count_if(functions.begin(), functions.end(),
                                         [&](const auto& f) { return f.name == d.name; });
    result.emplace(overloads > 1 ? d.signature : d.name, d);
  }
  return result;
}

}  // namespace

TEST_CASE("the declaration parser reads this project's headers", "[unit]") {
  const auto found = declarations_in(R"(
    #define NOT_A_FUNCTION(x) \
      Tensor macro(x)
    namespace keymix {
    class Tensor;
    // Tensor commented(int);  /* Tensor also(int); */
    class Tensor {
      Tensor hidden() const;
     public:
      explicit Tensor(int n) : n_(n) {}
      Tensor& operator=(const Tensor&) & = default;
      int ndim() const { return Tensor().n_; }
      Tensor operator[](std::int64_t i) const;
      Tensor sum(const Dims& dims = all, ReduceOptions options = {}) const;
      template <typename T>
      T item() const;
     private:
      Tensor secret();
      int n_ = 0;
    };
    struct Mask { bool causal = false; Tensor key; Tensor apply(const Tensor& scores) const; };
    enum class Kind { a, b };
    inline const Tensor all{};
    Tensor operator-(const Tensor& x);
    Tensor pad(const Tensor& x, const std::vector<std::pair<std::int64_t, std::int64_t>>& amounts, Scalar value = 0.0);
    inline TensorList twice(Scalar) { return {Tensor(1), Tensor(2)}; }
    template <typename T> Tensor from(std::span<const T> values);
    namespace composite { Tensor softmax(const Tensor& x, int dim); }
    }
    namespace keymix::composite { Tensor relu(const Tensor& x); }
  )");
  std::vector<std::string> lines;
  for (const Declaration& d : found) lines.push_back(d.result + " " + d.signature);
  const std::vector<std::string> expected{
      "Tensor operator=(Tensor)",
      "int ndim()",
      "Tensor operator[](std::int64_t)",
      "Tensor sum(Dims, ReduceOptions)",
      "T item()",
      "Tensor Mask::apply(Tensor)",
      "Tensor operator-(Tensor)",
      "Tensor pad(Tensor, std::vector<std::pair<std::int64_t, std::int64_t>>, Scalar)",
      "TensorList twice(Scalar)",
      "Tensor from(std::span<T>)",
      "Tensor composite::softmax(Tensor, int)",
      "Tensor composite::relu(Tensor)"};
  CHECK(lines == expected);
}

TEST_CASE("every public op has a case", "[unit]") {
  const std::map<std::string, Declaration> functions = by_case_name();
  REQUIRE(functions.size() > 120);  // a parser that finds nothing would pass everything
  std::set<std::string> tested, empty_tested, missing, empty_missing, unknown;
  for (const Family& family : op_families())
    for (const OpCase& op_case : family.cases)
      for (const std::string& op : op_case.ops) {
        tested.insert(op);
        for (const InputSpec& input : op_case.inputs)
          if (input.shape.numel() == 0) empty_tested.insert(op);
      }
  for (const auto& [name, declaration] : functions) {
    if (kElsewhere.contains(declaration.name)) continue;
    if (!tested.contains(name))
      missing.insert(name);
    else if (!empty_tested.contains(name))
      empty_missing.insert(name);
  }
  for (const std::string& op : tested)
    if (!functions.contains(op)) unknown.insert(op);
  INFO("without a case in tests/op_cases/:\n  " << fmt::format("{}", fmt::join(missing, "\n  ")));
  CHECK(missing.empty());
  INFO("without a case on an empty tensor:\n  "
       << fmt::format("{}", fmt::join(empty_missing, "\n  ")));
  CHECK(empty_missing.empty());
  INFO("named by a case but not declared in core/tensor.h or ops/*.h:\n  "
       << fmt::format("{}", fmt::join(unknown, "\n  ")));
  CHECK(unknown.empty());
}

TEST_CASE("no exception from the table is out of date", "[unit]") {
  std::set<std::string> declared, stale;
  for (const Declaration& d : public_functions()) declared.insert(d.name);
  for (const auto& [name, reason] : kElsewhere)
    if (!declared.contains(name)) stale.insert(name);
  INFO("excepted but not declared:\n  " << fmt::format("{}", fmt::join(stale, "\n  ")));
  CHECK(stale.empty());
}

TEST_CASE("case names are unique", "[unit]") {
  std::set<std::string> names;
  for (const Family& family : op_families())
    for (const OpCase& op_case : family.cases) {
      INFO(family.name << " / " << op_case.name);
      CHECK(names.insert(family.name + "/" + op_case.name).second);
    }
}
