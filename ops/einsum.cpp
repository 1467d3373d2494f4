#include "keymix/ops/einsum.h"

#include "keymix/ops/detail.h"
#include "keymix/ops/matmul.h"

#include <algorithm>
#include <map>

namespace keymix {
namespace {

// A tensor and the letters of its dimensions.
struct Term {
  Tensor tensor;
  std::string letters;
};

struct Equation {
  std::vector<std::string> inputs;
  std::string output;
};

bool has(std::string_view letters, char letter) {
  return letters.find(letter) != std::string_view::npos;
}

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// The letters that appear once in all operands together, in alphabetical order.
std::string implicit_output(const std::vector<std::string>& inputs) {
  std::map<char, int> counts;
  for (const std::string& letters : inputs)
    for (char letter : letters) ++counts[letter];
  std::string output;
  for (const auto& [letter, count] : counts)
    if (count == 1) output += letter;
  return output;
}

void check_output(std::string_view text, const Equation& equation) {
  for (char letter : equation.output) {
    check(std::count(equation.output.begin(), equation.output.end(), letter) == 1,
          "einsum: letter '{}' appears twice in the result of \"{}\"; needed each once", letter,
          text);
    check(std::any_of(equation.inputs.begin(), equation.inputs.end(),
                      [letter](const std::string& letters) { return has(letters, letter); }),
          "einsum: letter '{}' of the result of \"{}\" is in no operand; needed one that gives its "
          "size",
          letter, text);
  }
}

Equation parse(std::string_view text) {
  if (text.find("...") != std::string_view::npos)
    throw Error(
        fmt::format("einsum: \"{}\" has an ellipsis; needed a letter for each dimension", text),
        "name the leading dimensions, or flatten them first");
  Equation equation{{""}, ""};
  bool arrow = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == ' ') continue;
    if (is_letter(c)) {
      (arrow ? equation.output : equation.inputs.back()) += c;
    } else if (c == ',' && !arrow) {
      equation.inputs.emplace_back();
    } else if (c == '-' && i + 1 < text.size() && text[i + 1] == '>' && !arrow) {
      arrow = true;
      ++i;
    } else {
      fail("einsum: \"{}\" has '{}' at position {}; needed letters, commas and at most one ->",
           text, c, i);
    }
  }
  if (!arrow) equation.output = implicit_output(equation.inputs);
  check_output(text, equation);
  return equation;
}

void check_sizes(const Equation& equation, const TensorList& operands) {
  std::map<char, std::size_t> first_with;  // operand that gave the letter's size
  std::map<char, std::int64_t> size_of_letter;
  for (std::size_t k = 0; k < operands.size(); ++k) {
    const std::string& letters = equation.inputs[k];
    const Shape& shape = operands[k].shape();
    check(shape.ndim() == static_cast<int>(letters.size()),
          "einsum: operand {} does not fit its letters \"{}\"; got {}; needed {} dimensions", k,
          letters, shape, letters.size());
    for (int d = 0; d < shape.ndim(); ++d) {
      const char letter = letters[static_cast<std::size_t>(d)];
      const auto [found, is_new] = size_of_letter.try_emplace(letter, shape[d]);
      if (is_new) first_with[letter] = k;
      check(found->second == shape[d],
            "einsum: sizes of letter '{}' differ; operand {} \"{}\" has {}, operand {} \"{}\" has "
            "{}; "
            "needed equal ones",
            letter, first_with[letter], equation.inputs[first_with[letter]], found->second, k,
            letters, shape[d]);
    }
  }
}

// Zeros of `shape` with dy on the diagonal of dimensions a < b. The other way round below.
Tensor embed_diagonal(const Tensor& dy, const Shape& shape, int a, int b);

// The elements whose coordinates along a < b are equal, along a; b is dropped. A view.
Tensor diagonal_of(const Tensor& x, int a, int b) {
  Shape shape = x.shape(), strides = x.strides();
  strides[a] += strides[b];
  shape.erase(b);
  strides.erase(b);
  return record(
      "diagonal", detail::make_view(x, shape, strides), {x},
      [full = x.shape(), a, b](const Tensor& dy) { return embed_diagonal(dy, full, a, b); });
}

Tensor embed_diagonal(const Tensor& dy, const Shape& shape, int a, int b) {
  const Tensor y = allocate("diagonal", shape, dy.dtype(), dy.device());
  detail::backend_of(dy).fill(mut_view_of(y), 0);
  Shape strides = y.strides();
  strides[a] += strides[b];
  strides.erase(b);
  detail::backend_of(dy).copy(mut_view_of(detail::make_view(y, dy.shape(), strides)), view_of(dy));
  return record("embed_diagonal", y, {dy},
                [a, b](const Tensor& dz) { return diagonal_of(dz, a, b); });
}

// Each letter once.
Term without_repeats(Term term) {
  for (std::size_t b = 1; b < term.letters.size();) {
    const std::size_t a = term.letters.find(term.letters[b]);
    if (a == b) {
      ++b;
      continue;
    }
    term.tensor = diagonal_of(term.tensor, static_cast<int>(a), static_cast<int>(b));
    term.letters.erase(b, 1);
  }
  return term;
}

// Summed over the letters that are not in `kept`.
Term summed(const Term& term, std::string_view kept) {
  std::vector<int> dims;
  std::string letters;
  for (std::size_t d = 0; d < term.letters.size(); ++d)
    if (has(kept, term.letters[d]))
      letters += term.letters[d];
    else
      dims.push_back(static_cast<int>(d));
  return dims.empty() ? term : Term{term.tensor.sum(Dims(dims)), letters};
}

// Its dimensions in the order of `letters`, which holds the same ones.
Tensor in_order(const Term& term, std::string_view letters) {
  std::vector<int> order;
  for (char letter : letters) order.push_back(static_cast<int>(term.letters.find(letter)));
  if (std::is_sorted(order.begin(), order.end())) return term.tensor;
  return detail::permute(term.tensor, order);
}

// The letters of two terms by what the product does with them.
struct Split {
  std::string batch;        // in both, kept
  std::string contracted;   // in both, summed
  std::string left, right;  // in one alone
};

Split split_letters(const Term& a, const Term& b, std::string_view kept) {
  Split s;
  for (char letter : a.letters)
    (!has(b.letters, letter) ? s.left : has(kept, letter) ? s.batch : s.contracted) += letter;
  for (char letter : b.letters)
    if (!has(a.letters, letter)) s.right += letter;
  return s;
}

// The shape of `term` with its last two groups of letters folded to one dimension each. Batch
// dimensions stay apart, so that no stride is lost, as long as there is room for them.
Shape folded(const Term& term, const Split& s, const std::string& rows,
             const std::string& columns) {
  const auto size = [&](std::string_view letters) {
    std::int64_t product = 1;
    for (char letter : letters)
      product *= term.tensor.shape()[static_cast<int>(term.letters.find(letter))];
    return product;
  };
  Shape shape;
  if (s.batch.size() + 2 > kMaxDims)
    shape.push_back(size(s.batch));
  else
    for (char letter : s.batch) shape.push_back(size({&letter, 1}));
  shape.push_back(size(rows));
  shape.push_back(size(columns));
  return shape;
}

// Two terms whose shared letters are all kept: their product by broadcasting.
Term multiplied(const Term& a, const Term& b, const Split& s) {
  Tensor x = in_order(a, s.batch + s.left), y = in_order(b, s.batch + s.right);
  for (std::size_t i = 0; i < s.right.size(); ++i) x = x.unsqueeze(-1);
  for (std::size_t i = 0; i < s.left.size(); ++i) y = y.unsqueeze(static_cast<int>(s.batch.size()));
  return {x * y, s.batch + s.left + s.right};
}

// The product of two terms, summed over the letters that are not in `kept`.
Term contracted(const Term& first, const Term& second, std::string_view kept) {
  // A letter of one term alone is summed before the product.
  const Term a = summed(first, std::string(kept) + second.letters);
  const Term b = summed(second, std::string(kept) + a.letters);
  const Split s = split_letters(a, b, kept);
  if (s.contracted.empty()) return multiplied(a, b, s);
  const Tensor x =
      in_order(a, s.batch + s.left + s.contracted).reshape(folded(a, s, s.left, s.contracted));
  const Tensor y =
      in_order(b, s.batch + s.contracted + s.right).reshape(folded(b, s, s.contracted, s.right));
  const std::string letters = s.batch + s.left + s.right;
  Shape shape;
  for (char letter : letters) {
    const Term& source = has(a.letters, letter) ? a : b;
    shape.push_back(source.tensor.shape()[static_cast<int>(source.letters.find(letter))]);
  }
  return {matmul(x, y).reshape(shape), letters};
}

}  // namespace

Tensor einsum(std::string_view text, const TensorList& operands) {
  const Equation equation = parse(text);
  check(equation.inputs.size() == operands.size(),
        "einsum: \"{}\" has {} operands; got {} tensors; needed one each", text,
        equation.inputs.size(), operands.size());
  check_sizes(equation, operands);
  detail::check_same_device("einsum", operands);

  Term result;
  for (std::size_t k = 0; k < operands.size(); ++k) {
    std::string kept = equation.output;  // by the result, or for the operands still to come
    for (std::size_t later = k + 1; later < operands.size(); ++later)
      kept += equation.inputs[later];
    const Term term = without_repeats({operands[k], equation.inputs[k]});
    result = k == 0 ? summed(term, kept) : contracted(result, term, kept);
  }
  return in_order(result, equation.output);
}

}  // namespace keymix
