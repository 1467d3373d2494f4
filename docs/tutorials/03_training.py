# examples/tutorials/03_training.cpp in PyTorch: the same steps in the same order.
import gzip
import os

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

rng = torch.Generator().manual_seed(1)
torch.manual_seed(1)

# --- 1. Linear regression: the training loop, all of it ---
x = torch.randn(200, 2, generator=rng)
y = x @ torch.tensor([2.0, -3.0]) + 0.5 + 0.1 * torch.randn(200, generator=rng)
w = torch.zeros(2, requires_grad=True)
b = torch.zeros((), requires_grad=True)
for step in range(61):
    loss = (x @ w + b - y).square().mean()
    loss.backward()
    with torch.no_grad():
        w -= 0.1 * w.grad
        b -= 0.1 * b.grad
    w.grad = b.grad = None
    if step % 20 == 0:
        print(f"line: step {step:3} loss {loss:.4f}")
print(f"line: y = {w[0]:.2f} x0 + {w[1]:.2f} x1 + {b:.2f}")

# --- 2. Data: small pictures of clothes ---
FOLDER = "/usr/share/datasets/fashion-mnist"
NAMES = ["T-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag",
         "ankle boot"]


def read_idx(path):
    with gzip.open(path) as file:
        data = file.read()
    ndim = data[3]
    shape = np.frombuffer(data, ">u4", count=ndim, offset=4)
    array = np.frombuffer(data, np.uint8, offset=4 + 4 * ndim).reshape(shape)
    return torch.from_numpy(array.copy())


def load(split, count):
    if os.path.isdir(FOLDER):
        images = read_idx(f"{FOLDER}/{split}-images-idx3-ubyte.gz")
        labels = read_idx(f"{FOLDER}/{split}-labels-idx1-ubyte.gz").long()
        return images[:count], labels[:count]
    patterns = torch.randint(0, 32, (10, 28, 28), generator=torch.Generator().manual_seed(7))
    labels = torch.randint(0, 10, (count,), generator=rng)
    noise = torch.randint(0, 224, (count, 28, 28), generator=rng)
    return (patterns[labels] + noise).to(torch.uint8), labels


if not os.path.isdir(FOLDER):
    print(f"data: no {FOLDER}; patterns with noise stand in")
images, labels = load("train", 20000)
test_images, test_labels = load("t10k", 2000)
print("data: train", list(images.shape), "test", list(test_images.shape), images.dtype)
for row in test_images[0, ::2]:
    print("".join(" .:-=+*#%@"[value // 26] for value in row.tolist()))
print("label:", NAMES[test_labels[0]])


# --- 3. A model: a multilayer perceptron ---
class Mlp(nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.up = nn.Linear(28 * 28, hidden)
        self.down = nn.Linear(hidden, 10)

    def forward(self, images):
        x = images.flatten(1).float() / 255
        return self.down(F.relu(self.up(x)))


model = Mlp(128)
print("parameters:", sum(p.numel() for p in model.parameters()))

# --- 4. Training: epochs of shuffled batches ---
adam = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)


def accuracy():
    with torch.no_grad():
        return (model(test_images).argmax(1) == test_labels).float().mean().item()


print(f"mlp: before training, test accuracy {accuracy():.3f}")
for epoch in range(2):
    total, batches = 0.0, torch.randperm(len(images), generator=rng).split(100)
    for rows in batches:
        loss = F.cross_entropy(model(images[rows]), labels[rows])
        loss.backward()
        adam.step()
        adam.zero_grad()
        total += loss.item()
    print(f"mlp: epoch {epoch} loss {total / len(batches):.4f} test accuracy {accuracy():.3f}")

# --- 5. What it gets wrong ---
with torch.no_grad():
    right = (model(test_images).argmax(1) == test_labels).float()
classes = F.one_hot(test_labels, 10).float()
found = right @ classes / classes.sum(0)
print(f"hardest: {NAMES[found.argmin()]}, found {found.min():.2f} of the time")
