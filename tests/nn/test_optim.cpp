// Optimisers against PyTorch's trajectories (torch.optim, float64), and clip_grad_norm.
#include "keymix/autograd/grad_mode.h"
#include "keymix/nn/optim/adam.h"
#include "keymix/nn/optim/clip.h"
#include "keymix/nn/optim/schedules.h"
#include "keymix/nn/optim/sgd.h"
#include "keymix/nn/transformer/classifier.h"
#include "keymix/ops/composite.h"
#include "keymix/ops/create.h"
#include "keymix/ops/unary.h"
#include "support/catch.h"
#include "support/tensors.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

using namespace keymix;
using namespace keymix::testing;

namespace {

// Two parameters, and gradients that are a fixed function of them and of the step:
// sin(1.3 a + 0.4 t) and cos(0.7 b - 0.3 t).
struct Problem {
  Tensor a, b;

  explicit Problem(DType dtype = float64, bool transposed = false) {
    a = make({0.5, -1.0, 2.0, 0.25}, {2, 2}, dtype);
    if (transposed) a = make({0.5, 2.0, -1.0, 0.25}, {2, 2}, dtype).transpose(0, 1);
    b = make({1.5, -0.75, 0.125}, {3}, dtype);
    a.requires_grad_();
    b.requires_grad_();
  }

  nn::ParameterList parameters() const { return {{"a", a}, {"b", b}}; }

  void set_gradients(int t, bool with_b) {
    const NoGrad no_grad;
    a.set_grad(sin(a.detach() * 1.3 + 0.4 * t));
    b.set_grad(with_b ? cos(b.detach() * 0.7 - 0.3 * t) : Tensor());
  }

  std::vector<double> result() const {
    std::vector<double> all = values(a);
    for (double value : values(b)) all.push_back(value);
    return all;
  }
};

struct Trajectory {
  const char* name;
  std::function<std::unique_ptr<optim::Optimizer>(const Problem&)> make_optimizer;
  std::vector<double> wanted;  // a, then b, after five steps
  bool b_begins_late = false;  // no gradient for b in the first two steps
  bool varying = false;        // lr and beta1 as a cycle moves them
};

template <typename T>
auto plain(typename T::Options options) {
  return [options](const Problem& problem) {
    return std::make_unique<T>(problem.parameters(), options);
  };
}

std::unique_ptr<optim::Optimizer> two_groups(const Problem& problem) {
  return std::make_unique<optim::AdamW>(
      std::vector<optim::ParameterGroup>{
          {.parameters = {{"a", problem.a}}, .weight_decay = 0.1},
          {.parameters = {{"b", problem.b}}, .lr_scale = 0.5, .betas = optim::Betas{0.8, 0.95}}},
      optim::AdamOptions{.betas = {0.9, 0.99}});
}

const std::vector<Trajectory>& trajectories() {
  static const std::vector<Trajectory> all{
      {"sgd",
       plain<optim::Sgd>({.weight_decay = 0.05}),
       {0.056156977274608548, -0.85481903574990503, 2.0272417545876102, -0.12834854350273217,
        1.0545988485575808, -0.88800061075051273, -0.22508906725817926}},
      {"sgd with momentum",
       plain<optim::Sgd>({.momentum = 0.9, .dampening = 0.2, .weight_decay = 0.05}),
       {-0.42514587880369786, -0.45790298880109281, 1.7447163589273638, -0.46162716724975639,
        0.99315074415424198, -0.84854153442621938, -0.23440267869761358},
       true},
      {"sgd with nesterov",
       plain<optim::Sgd>({.momentum = 0.9, .nesterov = true}),
       {-0.80708357663440022, -0.59117401609385722, 1.8727537641468694, -0.79421998548647665,
        0.22009062990300629, -1.3119228295596597, -0.98653155380377899}},
      {"sgd with a varying momentum",
       plain<optim::Sgd>({.momentum = 0.5}),
       {-0.02218321628975339, -0.64654517515498622, 1.9599650492442344, -0.15986978771161131,
        1.0313141700919568, -1.0904476045705533, -0.4167638340893336},
       false,
       true},
      {"adam",
       plain<optim::Adam>({.betas = {0.9, 0.99}, .eps = 1e-6, .weight_decay = 0.05}),
       {-0.00070928223804128665, -0.63158088141994317, 1.6728825044198985, -0.24278309163828882,
        1.0017077394198337, -1.1339526593920786, -0.3540925242673485}},
      {"adamw",
       plain<optim::AdamW>({.betas = {0.9, 0.99}, .eps = 1e-6, .weight_decay = 0.05}),
       {-0.0079128907960469563, -0.62512272130414148, 1.6692734563335114, -0.24321913937069314,
        1.1789104417304932, -0.93533779334293643, -0.16421966977508029},
       true},
      {"adamw with a varying beta1",
       plain<optim::AdamW>({.betas = {0.5, 0.99}}),
       {0.27635270758787311, -0.83856417550927209, 1.9831292471197788, 0.023337205002200198,
        1.275180764347754, -0.91931716701205435, -0.081168258163472187},
       false,
       true},
      {"adamw with two groups",
       two_groups,
       {-0.015151052252769082, -0.60896841242968158, 1.6074398388946849, -0.24446929883935098,
        1.2482433762546932, -0.95054281060492618, -0.11498149568386731}},
  };
  return all;
}

std::vector<double> follow(const Trajectory& trajectory, Problem problem) {
  const std::vector<double> lr{0.02, 0.05, 0.1, 0.05, 0.02}, beta1{0.95, 0.9, 0.85, 0.9, 0.95};
  const auto optimizer = trajectory.make_optimizer(problem);
  for (int t = 0; t < 5; ++t) {
    const auto i = static_cast<std::size_t>(t);
    problem.set_gradients(t, !trajectory.b_begins_late || t >= 2);
    optimizer->step(trajectory.varying ? optim::Rates(lr[i], beta1[i]) : optim::Rates(0.1));
    optimizer->zero_grad();
    CHECK_FALSE(problem.a.grad().defined());
  }
  return problem.result();
}

std::int64_t fallbacks() {
  return composite::fallback_count("adam_step") + composite::fallback_count("sgd_step");
}

}  // namespace

TEST_CASE("optimisers follow PyTorch's trajectories", "[unit]") {
  for (const Trajectory& trajectory : trajectories()) {
    INFO(trajectory.name);
    CHECK(difference(follow(trajectory, Problem(float64)), trajectory.wanted, 1e-13) == "");
    CHECK(difference(follow(trajectory, Problem(float32)), trajectory.wanted, 2e-6) == "");
  }
}

// [cpu]: the kernel is its own.
TEST_CASE("optimisers take the fused kernel for contiguous float32 and float64", "[unit][cpu]") {
  for (const Trajectory& trajectory : trajectories()) {
    INFO(trajectory.name);
    const std::int64_t before = fallbacks();
    follow(trajectory, Problem(float64));
    follow(trajectory, Problem(float32));
    CHECK(fallbacks() == before);
  }
}

TEST_CASE("optimisers update what the fused kernel does not take", "[unit]") {
  for (const Trajectory& trajectory : trajectories()) {
    INFO(trajectory.name);
    const std::int64_t before = fallbacks();
    CHECK(difference(follow(trajectory, Problem(float64, true)), trajectory.wanted, 1e-13) == "");
    CHECK(fallbacks() > before);
  }
}

TEST_CASE("an optimiser keeps its state per parameter", "[unit]") {
  Problem problem;
  optim::AdamW adam(problem.parameters());
  CHECK(adam.state().size() == 2);
  CHECK_FALSE(adam.state()[0].first_moment.defined());

  const std::uint64_t version = problem.a.version();
  problem.set_gradients(0, false);
  adam.step(0.1);
  CHECK(problem.a.version() > version);
  CHECK(adam.state()[0].step == 1);
  CHECK(adam.state()[0].parameter.name == "a");
  CHECK(adam.state()[0].second_moment.shape() == Shape{2, 2});
  CHECK(adam.state()[1].step == 0);  // b had no gradient
  CHECK(difference(values(problem.b), {1.5, -0.75, 0.125}, 0) == "");
}

TEST_CASE("groups by name pattern have options of their own", "[unit]") {
  nn::Classifier model(Generator(1), {.vocab = 5,
                                      .classes = 2,
                                      .max_length = 4,
                                      .width = 4,
                                      .layers = 2,
                                      .heads = 2,
                                      .head_dim = 2});
  struct Group {
    const char* pattern;
    std::optional<double> lr_scale, weight_decay;
    double lr, decay;  // what comes of it
    std::vector<std::string> found = {};
  };
  std::vector<Group> kinds{{"encoder.blocks.*.norm*.weight", {}, 0.5, 0.01, 0.5},
                           {"encoder.blocks.*.norm*.bias", 0.0, {}, 0, 0.1},
                           {"encoder.blocks.?.attention.*", 3.0, {}, 0.03, 0.1},
                           {"encoder.blocks.1.mlp.*", 0.5, 2.0, 0.005, 2},
                           {"*", {}, {}, 0.01, 0.1}};
  const auto group_of = [&kinds](const nn::Parameter& p) -> Group& {
    return *std::find_if(kinds.begin(), kinds.end(),
                         [&p](const Group& g) { return nn::matches_pattern(p.name, g.pattern); });
  };
  const auto is_rest = [&](const nn::Parameter& p) { return &group_of(p) == &kinds.back(); };
  std::vector<optim::ParameterGroup> groups;
  for (const Group& group : kinds)
    groups.push_back({.parameters = &group == &kinds.back() ? model.parameters(is_rest)
                                                            : model.parameters(group.pattern),
                      .lr_scale = group.lr_scale,
                      .weight_decay = group.weight_decay});
  optim::AdamW adam(groups, {.eps = 0, .weight_decay = 0.1});

  std::map<std::string, std::vector<double>> before;
  for (const nn::Parameter& parameter : model.parameters()) {
    Tensor tensor = parameter.tensor;
    tensor.set_grad(full(tensor.shape(), 0.25));
    before[parameter.name] = values(tensor);
  }
  adam.step(0.01);
  for (const nn::Parameter& parameter : model.parameters()) {
    INFO(parameter.name);
    Group& group = group_of(parameter);
    group.found.push_back(parameter.name);
    // Whatever the gradient, Adam's first step is as long as the learning rate.
    std::vector<double> wanted;
    for (const double p : before[parameter.name])
      wanted.push_back(p * (1 - group.lr * group.decay) - group.lr);
    CHECK(difference(values(parameter.tensor), wanted, 1e-6) == "");
  }
  CHECK(kinds[0].found ==
        std::vector<std::string>{"encoder.blocks.0.norm1.weight", "encoder.blocks.0.norm2.weight",
                                 "encoder.blocks.1.norm1.weight", "encoder.blocks.1.norm2.weight"});
  CHECK(kinds[3].found == std::vector<std::string>{"encoder.blocks.1.mlp.up.weight",
                                                   "encoder.blocks.1.mlp.up.bias",
                                                   "encoder.blocks.1.mlp.down.weight",
                                                   "encoder.blocks.1.mlp.down.bias"});
  for (const Group& group : kinds) CHECK(!group.found.empty());

  // A misspelt group is no empty group, and a parameter belongs to one group.
  CHECK(message_of([&] {
          optim::AdamW(
              {{.parameters = model.parameters("encoder.blocks.*.nrom*"), .weight_decay = 0}});
        }).starts_with("parameters: no name matches 'encoder.blocks.*.nrom*'"));
  CHECK(message_of([&] {
          optim::AdamW({{.parameters = model.parameters("*.norm1.*")},
                        {.parameters = model.parameters("*.blocks.1.*")}});
        }).starts_with("AdamW: 'encoder.blocks.1.norm1.weight' appears twice"));
}

TEST_CASE("a graph recorded before an optimiser's step is caught", "[unit]") {
  Problem problem;
  optim::Sgd sgd(problem.parameters());
  const Tensor loss = square(problem.a).sum();
  problem.set_gradients(0, true);
  sgd.step(0.1);
  CHECK(message_of([&] { loss.backward(); }) != "no error");
}

TEST_CASE("clip_grad_norm scales as PyTorch's", "[unit]") {
  Problem problem;
  problem.set_gradients(0, true);
  CHECK(std::abs(clip_grad_norm(problem.parameters(), 0.5) - 1.9107905349739061) < 1e-14);
  CHECK(difference(
            values(problem.a.grad()),
            {0.15836013365641796, -0.25213587347987476, 0.13489210162020732, 0.083554061239171612},
            1e-15) == "");
  CHECK(difference(values(problem.b.grad()),
                   {0.13020024392627477, 0.22643075547086258, 0.26067059084335564}, 1e-15) == "");
  // Below the bound nothing is touched.
  const std::vector<double> before = values(problem.a.grad());
  CHECK(std::abs(clip_grad_norm(problem.parameters(), 10.0) - 0.5) < 1e-6);
  CHECK(difference(values(problem.a.grad()), before, 0) == "");
}

TEST_CASE("clip_grad_norm at the edges", "[unit]") {
  Problem problem;
  CHECK(clip_grad_norm(problem.parameters(), 1.0) == 0.0);  // no gradients
  CHECK(message_of([&] { clip_grad_norm(problem.parameters(), 0.0); }) ==
        "clip_grad_norm: impossible norm; got max_norm = 0; needed more than 0");

  // The sum is taken in double: squares of float32 may overflow, the norm does not.
  Tensor large = make({3e30, 4e30}, {2});
  large.requires_grad_();
  large.set_grad(large.detach() * 1.0);
  CHECK(std::abs(clip_grad_norm({{"large", large}}, 1.0) / 5e30 - 1) < 1e-6);
  CHECK(difference(values(large.grad()), {0.6, 0.8}, 1e-6) == "");

  problem.set_gradients(0, true);
  problem.a.set_grad(make({1, 2, std::numeric_limits<double>::infinity(), 4}, {2, 2}, float64));
  CHECK(std::isinf(clip_grad_norm(problem.parameters(), 1.0)));
  problem.a.set_grad(make({1, 2, std::nan(""), 4}, {2, 2}, float64));
  CHECK(std::isnan(clip_grad_norm(problem.parameters(), 1.0)));
}
