# examples/tutorials/05_attention.cpp in PyTorch: the same steps in the same order.
import math

import torch
from torch.nn import functional as F

M, N, D = 2, 16, 8
scale = 1 / math.sqrt(D)


def wave(a, b):
    return torch.sin(a + b * torch.arange(float(N * D))).reshape(1, 1, N, D)


def close(a, b):
    return torch.allclose(a, b, atol=1e-5)


q, v = wave(0.3, 0.7), wave(0.9, 1.1)
keys = torch.stack([wave(0.1, 0.71), wave(1.7, 0.5)])
log_pi = torch.tensor([0.7, 0.3]).log().reshape(M, 1, 1, 1, 1)

# --- 1. Softmax attention ---
kernel = torch.exp(q @ keys[0].transpose(-2, -1) * scale)
softmax_weight = kernel / kernel.sum(-1, keepdim=True)
out = softmax_weight @ v
print("out[0]", out[0, 0, 0])
print("softmax agrees with the library:", close(out, F.scaled_dot_product_attention(q, keys[0], v)))

# --- 2. The same, as a mixture of Gaussians ---
unit = F.normalize(keys[0], dim=-1)
kernel = torch.exp(-scale / 2 * torch.cdist(q, unit).square())
gaussian_weight = kernel / kernel.sum(-1, keepdim=True)
dot_weight = (q @ unit.transpose(-2, -1) * scale).softmax(-1)
print("with keys of one length, Gaussian equals softmax:", close(gaussian_weight, dot_weight))


# --- 3. A mixture of keys ---
def component_scores(q, keys):
    return log_pi - scale / 2 * torch.cdist(q, keys).square()


def mixture_weights(q, keys):
    density = component_scores(q, keys).exp().sum(0)
    return density / density.sum(-1, keepdim=True)


mixture_weight = mixture_weights(q, keys)
mixture = mixture_weight @ v
print("mixture out[0]", mixture[0, 0, 0])
print(f"rows add up to one: {mixture_weight.sum(-1).mean():.4f}")


# --- 4. In the log domain ---
def mixture_attention(q, keys):
    return component_scores(q, keys).logsumexp(0).softmax(-1) @ v


print("log domain agrees:", close(mixture_attention(q, keys), mixture))
far = q + 30
print("far away, densities:", (mixture_weights(far, keys) @ v)[0, 0, 0, :3])
print("far away, log domain:", mixture_attention(far, keys)[0, 0, 0, :3])

# --- 5. Softmax attention over M N keys with tied values ---
beta = log_pi.squeeze(-1) - scale / 2 * keys.square().sum(-1)
score = q @ torch.cat(list(keys), dim=-2).transpose(-2, -1) * scale
score = score + torch.cat(list(beta), dim=-1).unsqueeze(-2)
tied = score.softmax(-1) @ torch.cat([v, v], dim=-2)
print("2 N keys with tied values agree:", close(tied, mixture))

# --- 6. Which component answers? ---
responsibility = component_scores(q, keys).softmax(0)
share = (responsibility * mixture_weight).sum(-1).mean((1, 2, 3))
print("share of the components", share)
hard = (component_scores(q, keys) - log_pi).amax(0).softmax(-1) @ v
print("hard out[0]", hard[0, 0, 0])

# --- 7. Shifted keys: one product for all components ---
mu = torch.stack([torch.zeros(D), 0.5 * torch.cos(torch.arange(float(D)))])
base = q @ keys[0].transpose(-2, -1) - keys[0].square().sum(-1).unsqueeze(-2) / 2
of_query = torch.einsum("bhid,md->mbhi", q, mu)
of_key = torch.einsum("bhjd,md->mbhj", keys[0], mu) - mu.square().sum(-1).reshape(M, 1, 1, 1) / 2
scores = log_pi + scale * (base - of_query.unsqueeze(-1) + of_key.unsqueeze(-2))
shifted = scores.logsumexp(0).softmax(-1) @ v
print("shifts out[0]", shifted[0, 0, 0])
explicit = mixture_attention(q, keys[0] - mu.reshape(M, 1, 1, 1, D))
print("one product for both agrees:", close(shifted, explicit))

# --- 8. To look at ---
maps = {"softmax": softmax_weight[0, 0], "mixture of two keys": mixture_weight[0, 0]}
for title, weight in maps.items():
    print(f"map: {title}")
    for row in weight / weight.max():
        print("map:", "".join(2 * " .:-=+*#%@"[int(9.99 * w)] for w in row.tolist()))
try:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2)
    for axis, (title, weight) in zip(axes, maps.items()):
        axis.imshow(weight)
        axis.set(title=title, xlabel="key", ylabel="query")
    figure.savefig("attention.png")
    print("picture: attention.png")
except ImportError:
    print("picture: none, matplotlib is not installed")
