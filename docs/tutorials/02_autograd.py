# examples/tutorials/02_autograd.cpp in PyTorch: the same steps in the same order.
import torch

# --- 1. The chain rule by hand ---
w = torch.tensor(0.5, requires_grad=True)
b = torch.tensor(-0.4, requires_grad=True)
x, t = 2.0, 1.0
y = torch.tanh(w * x + b)
loss = (y - t).square()
loss.backward(retain_graph=True)
with torch.no_grad():
    by_hand = 2 * (y - t) * (1 - y.square()) * x
print(f"loss {loss:.6f}")
print(f"dloss/dw: autograd {w.grad:.6f}, by hand {by_hand:.6f}")


# --- 2. The graph ---
def print_graph(node, depth=0):
    print("graph:", "  " * depth + node.name())
    for parent, _ in node.next_functions:
        if parent is not None:
            print_graph(parent, depth + 1)


print_graph(loss.grad_fn)

# --- 3. Gradients add up ---
w.grad = None
cube = w * w * w
cube.backward()
print(f"d(w^3)/dw = 3 w^2: {w.grad:.4f}")
(2 * w).backward()
print(f"plus d(2w)/dw: {w.grad:.4f}")
w.grad = None


# --- 4. Is a gradient right? ---
def loss_of(w):
    return (torch.tanh(w * x + b.detach().double()) - t).square()


eps, at = 1e-6, w.detach().double()
numeric = (loss_of(at + eps) - loss_of(at - eps)) / (2 * eps)
print(f"central difference: {numeric:.6f}")
print("gradcheck:", torch.autograd.gradcheck(loss_of, at.requires_grad_()))

# --- 5. Where gradients stop ---
with torch.no_grad():
    w -= 0.1 * by_hand
    print(f"w after a step: {w:.4f}")
print(f"loss after a step: {(torch.tanh(w * x + b) - t).square():.6f}")
print("detached:", w.detach().requires_grad, "recorded:", (w * 2).requires_grad)


# --- 6. An op of one's own ---
def naive_softplus(x):
    return torch.log(1 + torch.exp(x))


class Softplus(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return torch.relu(x) + torch.log1p(torch.exp(-torch.abs(x)))

    @staticmethod
    def backward(ctx, dy):
        (x,) = ctx.saved_tensors
        return dy * torch.sigmoid(x)


for name, softplus in [("naive", naive_softplus), ("own", Softplus.apply)]:
    z = torch.tensor([-1.0, 0.0, 100.0], requires_grad=True)
    y = softplus(z)
    y.sum().backward()
    print(name, y.detach(), "gradient", z.grad)
z = torch.linspace(-2, 2, 5, dtype=torch.float64, requires_grad=True)
print("gradcheck:", torch.autograd.gradcheck(Softplus.apply, z))
print("gradgradcheck:", torch.autograd.gradgradcheck(Softplus.apply, z))

# --- 7. Gradients of gradients ---
z = torch.tensor(0.0, requires_grad=True)
for step in range(4):
    f = Softplus.apply(z) - 0.3 * z
    (slope,) = torch.autograd.grad(f, z, create_graph=True)
    (curvature,) = torch.autograd.grad(slope, z)
    print(f"step {step}: z {z:.5f} slope {slope:.5f} curvature {curvature:.5f}")
    z = (z - slope / curvature).detach().requires_grad_()
print(f"minimum at {z:.5f}, log(0.3 / 0.7) = {torch.logit(torch.tensor(0.3)):.5f}")
