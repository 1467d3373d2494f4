// Tutorial 3: training, from a straight line to a multilayer perceptron on Fashion-MNIST.
//
// The data is Debian's package dataset-fashion-mnist (apt-get install dataset-fashion-mnist); without
// it, patterns with noise stand in. In PyTorch: docs/tutorials/03_training.py.
//
//   cmake --build build --target 03_training && build/examples/tutorials/03_training
#include <filesystem>

#include "keymix/keymix.h"
using namespace keymix;

void fit_a_line(Generator& rng) {
  // --- 1. Linear regression: the training loop, all of it ---
  //
  // 200 points with y = 2 x0 - 3 x1 + 0.5 and some noise. The model is y = x w + b, the loss the mean
  // squared error, and every training loop has these four parts:
  //
  //   loss      how wrong the model is
  //   backward  dloss/dw and dloss/db
  //   step      w <- w - rate * dloss/dw: downhill
  //   zero      forget the gradients, which would add up
  Tensor x = randn({200, 2}, rng);
  Tensor y = matmul(x, tensor({2, -3})) + 0.5 + 0.1 * randn({200}, rng);
  Tensor w = zeros({2}, {.requires_grad = true});
  Tensor b = zeros({}, {.requires_grad = true});
  for (int step = 0; step <= 60; ++step) {
    Tensor loss = square(matmul(x, w) + b - y).mean();
    loss.backward();
    {
      NoGrad no_grad;
      w -= 0.1 * w.grad();
      b -= 0.1 * b.grad();
    }
    w.zero_grad();
    b.zero_grad();
    if (step % 20 == 0) fmt::print("line: step {:3} loss {:.4f}\n", step, loss.item());
  }
  fmt::print("line: y = {:.2f} x0 + {:.2f} x1 + {:.2f}\n", w[0].item(), w[1].item(), b.item());
}

// --- 2. Data: small pictures of clothes ---
const std::string kFolder = "/usr/share/datasets/fashion-mnist";
const char* const kNames[] = {"T-shirt", "trousers", "pullover", "dress", "coat",
                              "sandal",  "shirt",    "sneaker",  "bag",   "ankle boot"};

struct Pictures {
  Tensor images;  // uint8 [n, 28, 28]: 0 is paper, 255 is ink
  Tensor labels;  // int64 [n]
};

// Bytes stay bytes until a batch of them becomes floats: 60,000 pictures take 47 MB, not 188. A
// picture that stands in is the faint pattern of its class under noise.
Pictures load(const std::string& split, std::int64_t count, Generator& rng) {
  if (std::filesystem::exists(kFolder)) {
    Tensor images = data::read_idx(kFolder + "/" + split + "-images-idx3-ubyte.gz");
    Tensor labels = data::read_idx(kFolder + "/" + split + "-labels-idx1-ubyte.gz");
    return {images.slice(0, 0, count), labels.slice(0, 0, count).to(int64)};
  }
  Generator same_every_time(7);
  Tensor patterns = randint(0, 32, {10, 28, 28}, same_every_time);
  Tensor labels = randint(0, 10, {count}, rng);
  Tensor noise = randint(0, 224, {count, 28, 28}, rng);
  return {(index_select(patterns, 0, labels) + noise).to(uint8), labels};
}

// --- 3. A model: a multilayer perceptron ---
//
//   logits = W2 relu(W1 x + b1) + b2
//
// A module declares its layers, each with its name, and says how they follow each other. The Scope
// is where their weights are registered, as up.weight, up.bias, down.weight, down.bias: the optimiser
// and the checkpoint find them there, and none can be forgotten.
struct Mlp : nn::Module {
  nn::Linear up, down;

  Mlp(nn::Scope scope, std::int64_t hidden)
      : Module(scope),
        up(scope / "up", {.in = 28 * 28, .out = hidden}),
        down(scope / "down", {.in = hidden, .out = 10}) {}

  Tensor operator()(const Tensor& images) {
    Tensor x = images.flatten(1).to(float32) / 255;
    return down(relu(up(x)));
  }
};

int main() {
  Generator rng(1);
  fit_a_line(rng);

  // --- 2. Data: one of them, in letters ---
  if (!std::filesystem::exists(kFolder))
    fmt::print("data: no {}; patterns with noise stand in\n", kFolder);
  Pictures train = load("train", 20000, rng), test = load("t10k", 2000, rng);
  fmt::print("data: train {} test {} {}\n", train.images.shape(), test.images.shape(),
             to_string(train.images.dtype()));
  for (std::int64_t i = 0; i < 28; i += 2) {
    for (int ink : to_vector<int>(test.images[0][i])) fmt::print("{}", " .:-=+*#%@"[ink / 26]);
    fmt::print("\n");
  }
  fmt::print("label: {}\n", kNames[test.labels[0].item<int>()]);

  // --- 4. Training: epochs of shuffled batches ---
  //
  // The loss is the cross entropy, -log softmax(logits)[label], averaged over a batch. AdamW gives
  // each weight a step of its own size. An epoch sees every picture once, in a new order.
  Mlp model(rng, 128);
  fmt::print("parameters: {}\n", model.parameter_count());
  optim::AdamW adam(model.parameters(), {.weight_decay = 0.01});
  auto accuracy = [&] {
    NoGrad no_grad;
    return (model(test.images).argmax(1) == test.labels).to(float32).mean().item();
  };
  fmt::print("mlp: before training, test accuracy {:.3f}\n", accuracy());
  for (int epoch = 0; epoch < 2; ++epoch) {
    double total = 0;
    TensorList batches = split(randperm(train.images.size(0), rng), 100);
    for (const Tensor& rows : batches) {
      Tensor images = index_select(train.images, 0, rows);
      Tensor loss = cross_entropy(model(images), index_select(train.labels, 0, rows));
      loss.backward();
      adam.step(2e-3);
      adam.zero_grad();
      total += loss.item();
    }
    fmt::print("mlp: epoch {} loss {:.4f} test accuracy {:.3f}\n", epoch,
               total / static_cast<double>(batches.size()), accuracy());
  }

  // --- 5. What it gets wrong ---
  //
  // Of the pictures of each class, how many were found? One product counts the right answers by
  // class. (Shirts, pullovers and coats are hard to tell apart at 28 x 28.)
  NoGrad no_grad;
  Tensor right = (model(test.images).argmax(1) == test.labels).to(float32);
  Tensor classes = one_hot(test.labels, 10).to(float32);
  Tensor found = matmul(right, classes) / classes.sum(0);
  fmt::print("hardest: {}, found {:.2f} of the time\n", kNames[found.argmin().item<int>()],
             found.min().item());
}
