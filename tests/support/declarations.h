// Reads the function declarations of a C++ header: enough of a parser for this project's headers,
// so that tests can compare what is declared with what is tested.
#pragma once

#include <string>
#include <vector>

namespace keymix::testing {

struct Declaration {
  std::string name;       // "softmax", "composite::softmax", "Mask::apply", "operator+"
  std::string result;     // "Tensor"; const and & left out
  std::string signature;  // "operator+(Tensor, Scalar)": parameter types, names left out
};

// The functions declared in namespaces and, where public, in classes. Names in keymix and members
// of Tensor have no prefix. Constructors, macros and private members are left out.
std::vector<Declaration> declarations_in(const std::string& header_text);

std::string read_file(const std::string& path);

}  // namespace keymix::testing
