# examples/tutorials/06_own_core.cpp in PyTorch: the same steps in the same order.
import math

import torch
from torch import nn
from torch.nn import functional as F


# --- 1. The formula ---
def decaying_mixture(q, keys, v, log_pi, slope):
    n, scale = v.size(2), 1 / math.sqrt(q.size(-1))
    i, j = torch.arange(n - q.size(2), n).unsqueeze(1), torch.arange(n)
    scores = []
    for r, k in enumerate(keys):
        gaussian = scale * (q @ k.transpose(-2, -1) - k.square().sum(-1).unsqueeze(-2) / 2)
        decay = slope[:, r, None, None] * (i - j)
        scores.append(log_pi[:, r, None, None] + gaussian - decay)
    score = torch.stack(scores).logsumexp(0).masked_fill(j > i, -math.inf)
    return score.softmax(-1) @ v


# --- 2. Its gradient ---
rng = torch.Generator().manual_seed(1)
q, k0, k1, v = torch.randn(4, 2, 3, 5, 4, generator=rng, dtype=torch.float64)
log_pi = torch.tensor([[0.3, 0.7], [0.5, 0.5], [0.9, 0.1]], dtype=torch.float64).log()
slope = torch.tensor([[1.0, 0.0], [0.5, 0.1], [2.0, 0.2]], dtype=torch.float64)
inputs = [x.requires_grad_() for x in (q, k0, k1, v, log_pi, slope)]
print("gradcheck:", torch.autograd.gradcheck(
    lambda q, k0, k1, v, log_pi, slope: decaying_mixture(q, [k0, k1], v, log_pi, slope), inputs))

# --- 3. Cases that we know ---
bias = torch.cat([log_pi[:, r, None, None] - k.square().sum(-1).unsqueeze(-2) / 4
                  for r, k in enumerate([k0, k1])], dim=-1).expand(-1, -1, 5, -1)
future = torch.ones(5, 5, dtype=torch.bool).triu(1).repeat(1, 2)
plain = F.scaled_dot_product_attention(q, torch.cat([k0, k1], 2), torch.cat([v, v], 2),
                                       attn_mask=bias.masked_fill(future, -math.inf))
without = decaying_mixture(q, [k0, k1], v, log_pi, torch.zeros_like(slope))
print("no decay is a mixture of keys:", torch.allclose(plain, without))
nearest = decaying_mixture(q, [k0, k1], v, log_pi, torch.full_like(slope, 1e4))
print("steep decay sees itself alone:", torch.allclose(nearest, v))
whole = decaying_mixture(q, [k0, k1], v, log_pi, slope)
last = decaying_mixture(q[:, :, -1:], [k0, k1], v, log_pi, slope)
print("the last query alone agrees:", torch.allclose(last, whole[:, :, -1:]))


# --- 4. The core ---
class DecayingCore(nn.Module):
    def __init__(self, heads, components=2):
        super().__init__()
        self.components = components
        self.mixing = nn.Parameter(torch.zeros(heads, components))
        first = -2 * math.log(2) * torch.arange(components)
        self.log_slope = nn.Parameter(first.repeat(heads, 1))

    def forward(self, q, keys, v):
        return decaying_mixture(q, keys, v, self.mixing.log_softmax(-1), self.log_slope.exp())


# --- 5. In a model ---
class SoftmaxCore(nn.Module):
    components = 1

    def forward(self, q, keys, v):
        return F.scaled_dot_product_attention(q, keys[0], v, is_causal=True)


class Attention(nn.Module):
    def __init__(self, width, heads, core):
        super().__init__()
        self.heads, self.core = heads, core
        self.projection = nn.Linear(width, (2 + core.components) * width)
        self.output = nn.Linear(width, width)

    def forward(self, x):
        parts = self.projection(x).chunk(2 + self.core.components, -1)
        q, *keys, v = (p.unflatten(-1, (self.heads, -1)).transpose(1, 2) for p in parts)
        return self.output(self.core(q, keys, v).transpose(1, 2).flatten(2))


class Model(nn.Module):
    def __init__(self, core, width=32, heads=2):
        super().__init__()
        self.tokens = nn.Embedding(8, width)
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, heads, core)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(),
                                 nn.Linear(4 * width, width))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 2)

    def forward(self, ids):
        x = self.tokens(ids)
        x = x + self.attention(self.norm1(x))
        x = x + self.mlp(self.norm2(x))
        return self.head(self.norm(x))


# --- 6. A task that needs to know what came last ---
def draw(count, length):
    ids = torch.randint(0, 8, (count, length), generator=rng)
    ids[:, 0] = torch.randint(0, 2, (count,), generator=rng)
    last = torch.where(ids < 2, torch.arange(length), 0).cummax(1).values
    return ids, ids.gather(1, last)


def accuracy(model, length):
    ids, target = draw(64, length)
    with torch.no_grad():
        return (model(ids).argmax(-1) == target).float().mean().item()


# --- 7. Training, and longer than trained ---
torch.manual_seed(1)
for name, core in [("softmax", SoftmaxCore()), ("decaying", DecayingCore(2))]:
    model = Model(core)
    adam = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0)
    for step in range(201):
        ids, target = draw(32, 24)
        loss = F.cross_entropy(model(ids).flatten(0, 1), target.flatten())
        loss.backward()
        adam.step()
        adam.zero_grad()
        if step % 100 == 0:
            print(f"{name}: step {step:3} loss {loss:.4f}")
    as_trained, longer = accuracy(model, 24), accuracy(model, 96)
    print(f"{name}: accuracy at length 24 {as_trained:.3f}, at 96 {longer:.3f}")
print("slopes", model.attention.core.log_slope.exp().detach())
