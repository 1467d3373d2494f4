# examples/tutorials/01_tensors.cpp in PyTorch: the same steps in the same order.
import torch

# --- 1. A tensor is numbers in memory, and a shape to see them through ---
x = torch.arange(12.0).reshape(3, 4)
print(x)
print(f"shape {list(x.shape)}, dtype {x.dtype}, {x.numel()} elements")

# --- 2. Strides: where an element lies ---
print("strides", list(x.stride()))
print("strides transposed", list(x.t().stride()), "every second column", list(x[:, ::2].stride()))
memory = x.flatten()
print(f"x[2][1] is {x[2, 1]:.1f}, in memory {memory[2 * x.stride(0) + 1 * x.stride(1)]:.1f}")

# --- 3. Views share memory ---
row = x[1]
row.fill_(-1)
print("x, after its row was filled:")
print(x)
copy = x[1].clone()
copy.fill_(0)
print("x[1], after a copy of it was filled:", x[1])
flat = x.t().reshape(-1)
print("transposed and flat, a copy:", flat)

# --- 4. Broadcasting ---
a = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
b = torch.tensor([[0.0, 1.0], [3.0, 0.0], [6.0, 8.0]])
difference = a.unsqueeze(1) - b.unsqueeze(0)
print("differences", list(difference.shape))
distance = difference.square().sum(-1).sqrt()
print(distance)
by_products = a.square().sum(-1, keepdim=True) - 2 * a @ b.T + b.square().sum(-1)
print("the same by products:", torch.allclose(by_products.sqrt(), distance))

# --- 5. Products and reductions ---
print("row sums", x.sum(1), "largest", x.max().item(), "at", x.argmax().item())
w = torch.linspace(-1, 1, 8).reshape(4, 2)
print(x @ w)
print("einsum agrees:", torch.allclose(torch.einsum("ij,jk->ik", x, w), x @ w))

# --- 6. Indexing ---
print("column 1:", x[:, 1])
print("rows 2, 0:", x[torch.tensor([2, 0])])
print("above 8:", x[x > 8])
x[x < 0] = 0
print("negatives become 0:", x[1])
print(torch.where(x > 5, x, 0.0))

# --- 7. dtypes ---
counts = torch.tensor([1, 2, 3])
print("int64 / 2:", counts / 2)
print("int64 + float64:", (counts + x[0, :3].double()).dtype)
print("257 in bfloat16:", torch.tensor(257.0).to(torch.bfloat16).item())

# --- 8. Random numbers ---
rng, again = torch.Generator().manual_seed(1), torch.Generator().manual_seed(1)
sample = torch.randn(10000, generator=rng)
print(f"normal: mean {sample.mean():.2f}, standard deviation {sample.std():.2f}")
print("equal seeds, equal values:", torch.equal(sample, torch.randn(10000, generator=again)))

# --- 9. Mistakes ---
try:
    x @ w.T
except RuntimeError as error:
    print("error:", error)
