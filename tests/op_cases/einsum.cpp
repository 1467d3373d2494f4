// einsum against one loop over all letters.
#include "op_cases/naive.h"

#include "keymix/ops/einsum.h"

#include <map>
#include <sstream>

namespace keymix::testing {
namespace {

using naive::Array;

// Sums the product of the operands' elements over every value of every letter. The equation has an
// arrow and no spaces.
Builder naive_einsum(const std::string& equation) {
  return [equation](const TensorList& in) {
    const std::size_t arrow = equation.find("->");
    const std::string output = equation.substr(arrow + 2);
    std::vector<std::string> inputs;
    std::istringstream stream(equation.substr(0, arrow) + ",");
    for (std::string letters; std::getline(stream, letters, ',');) inputs.push_back(letters);

    std::vector<Array> operands;
    std::string letters;  // all of them
    Shape sizes;
    for (std::size_t k = 0; k < in.size(); ++k) {
      operands.emplace_back(in[k]);
      for (std::size_t d = 0; d < inputs[k].size(); ++d) {
        if (letters.find(inputs[k][d]) != std::string::npos) continue;
        letters += inputs[k][d];
        sizes.push_back(in[k].shape()[static_cast<int>(d)]);
      }
    }
    const auto pick_of = [&](const std::string& wanted, const Shape& from) {
      Shape picked;
      for (char letter : wanted) picked.push_back(from[static_cast<int>(letters.find(letter))]);
      return picked;
    };
    Array y(pick_of(output, sizes));
    naive::for_each_index(sizes, [&](const Shape& i) {
      double product = 1;
      for (std::size_t k = 0; k < operands.size(); ++k)
        product *= operands[k].at(pick_of(inputs[k], i));
      y.at(pick_of(output, i)) += product;
    });
    return TensorList{y.tensor()};
  };
}

}  // namespace

std::vector<OpCase> einsum_cases() {
  struct Form {
    std::string equation;
    std::vector<InputSpec> inputs;
    std::string with_arrow = "";  // the same, spelled out
  };
  const auto of = [](const Shape& shape, Layout layout = Layout::contiguous) {
    return InputSpec{.shape = shape, .low = -2, .high = 2, .layout = layout};
  };
  std::vector<OpCase> cases;
  for (const Form& f : std::vector<Form>{
           // One operand.
           {"ij->ji", {of({2, 3})}},
           {"ij->", {of({2, 3}, Layout::strided)}},
           {"ijk->ki", {of({2, 3, 2}, Layout::transposed)}},
           {"ii->i", {of({3, 3})}},
           {"ii", {of({3, 3}, Layout::transposed)}, "ii->"},
           {"iji->j", {of({3, 2, 3}, Layout::padded_rows)}},
           {"iii->i", {of({2, 2, 2})}},
           {"ijij->ji", {of({2, 3, 2, 3})}},
           {"->", {of({})}},
           {"ba", {of({2, 3})}, "ba->ab"},
           // Products.
           {"ij,jk->ik", {of({2, 3}), of({3, 4})}},
           {"ij,jk", {of({2, 3}, Layout::transposed), of({3, 4}, Layout::strided)}, "ij,jk->ik"},
           {"bhnd,bhmd->bhnm", {of({2, 2, 3, 2}), of({2, 2, 4, 2})}},
           {"bnhd,bmhd->bhnm", {of({2, 3, 2, 2}), of({2, 2, 2, 2})}},
           {"bhnm,bhmd->bnhd", {of({1, 2, 3, 2}), of({1, 2, 2, 3}, Layout::transposed)}},
           {"i,i->", {of({4}), of({4})}},
           {"i,j->ij", {of({2}), of({3})}},
           {"i,j->ji", {of({2}), of({3})}},
           {"ij,ij->ij", {of({2, 3}), of({2, 3}, Layout::transposed)}},
           {"ij,ji->", {of({2, 3}), of({3, 2})}},
           {"ij,j->ij", {of({2, 3}), of({3})}},
           {"bij,bjk,bk->bi", {of({2, 2, 3}), of({2, 3, 2}), of({2, 2})}},
           {"i,->i", {of({3}), of({})}},
           {",->", {of({}), of({})}},
           {"ai,bj->ab", {of({2, 3}), of({2, 4})}},  // i and j are in one operand each
           {"ii,ij->j", {of({3, 3}), of({3, 2}, Layout::broadcast)}},
           {"ij,kj,lj->ikl", {of({2, 3}), of({2, 3}), of({2, 3})}},
           {"ij,jk,kl,lm->im", {of({2, 3}), of({3, 2}), of({2, 3}), of({3, 2})}},
           {"Aa,aB->AB", {of({2, 3}), of({3, 2})}},
           {"aA,Bb", {of({1, 2}), of({2, 1})}, "aA,Bb->ABab"},
           {"abcdefgh,abcdefgh->abcdefg",
            {of({1, 2, 1, 1, 2, 1, 1, 3}), of({1, 2, 1, 1, 2, 1, 1, 3})}},
           // Sizes of 0 and 1.
           {"ij,jk->ik", {of({0, 3}), of({3, 2})}},
           {"ij,jk->ik", {of({2, 0}), of({0, 2})}},
           {"bij,bjk->bik", {of({0, 2, 3}), of({0, 3, 2})}},
           {"ij->i", {of({3, 0})}},
           {"ii->i", {of({0, 0})}},
           {"ij,jk->ik", {of({1, 1}), of({1, 1})}},
           {"i->i", {of({1})}},
           // Beyond a block.
           {"bnhd,bmhd->bhnm", {of({2, 33, 3, 20}), of({2, 35, 3, 20})}},
           {"ij,kj->ik", {of({70, 133}), of({65, 133})}},
           {"ij,ij->j", {of({130, 70}), of({130, 70}, Layout::transposed)}},
       }) {
    std::int64_t elements = 0;
    std::string shapes;
    for (const InputSpec& input : f.inputs) {
      elements += input.shape.numel();
      shapes += " " + to_string(input.shape);
    }
    const bool large = elements > 200;
    cases.push_back({.ops = {"einsum"},
                     .name = fmt::format("einsum {} of{}", f.equation, shapes),
                     .inputs = f.inputs,
                     .build = [equation = f.equation](
                                  const TensorList& x) { return TensorList{einsum(equation, x)}; },
                     .naive = naive_einsum(f.with_arrow.empty() ? f.equation : f.with_arrow),
                     .tolerance = {large ? 4e-5 : 1e-5, "sums of up to 133 products"},
                     .gradcheck = !large,
                     .half_tolerance = large ? 0.3 : 0.15});
  }
  cases.push_back({.ops = {"einsum"},
                   .name = "einsum of a tensor and itself, with spaces",
                   .inputs = {of({3, 2})},
                   .build = on1([](const Tensor& x) {
                     return einsum(" i j, k j -> i k ", {x, x});
                   }),
                   .naive =
                       [](const TensorList& x) {
                         return naive_einsum("ij,kj->ik")({x[0], x[0]});
                       },
                   .tolerance = {1e-5, "sums of two products"},
                   .half_tolerance = 0.1});
  cases.push_back({.ops = {"einsum"},
                   .name = "einsum of integers",
                   .inputs = {{.shape = {2, 3}, .low = -9, .high = 9, .dtype = int64},
                              {.shape = {3, 2}, .low = -9, .high = 9, .dtype = int64}},
                   .build = [](const TensorList& x) { return TensorList{einsum("ij,jk->ik", x)}; },
                   .naive = naive_einsum("ij,jk->ik"),
                   .differentiable = false,
                   .half = false});
  return cases;
}

}  // namespace keymix::testing
