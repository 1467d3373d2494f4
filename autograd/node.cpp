#include "keymix/autograd/node.h"

#include <atomic>

namespace keymix::autograd {
namespace {

std::atomic<std::uint64_t> next_sequence{0};
thread_local std::shared_ptr<Node> running;

}  // namespace

Node::Node(std::string op_name)
    : op(std::move(op_name)), sequence(next_sequence.fetch_add(1, std::memory_order_relaxed)) {}

Node::~Node() {
  for (Edge& edge : inputs) release_iteratively(std::move(edge.node));
}

const std::shared_ptr<Node>& current_node() { return running; }

CurrentNode::CurrentNode(std::shared_ptr<Node> node) : previous_(std::move(running)) {
  running = std::move(node);
}
CurrentNode::~CurrentNode() { running = std::move(previous_); }

}  // namespace keymix::autograd
