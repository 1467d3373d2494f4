# examples/tutorials/04_transformer.cpp in PyTorch: the same steps in the same order.
import math

import torch
from torch import nn
from torch.nn import functional as F

TEXT = """Shall I compare thee to a summer's day?
Thou art more lovely and more temperate:
Rough winds do shake the darling buds of May,
And summer's lease hath all too short a date:
Sometime too hot the eye of heaven shines,
And often is his gold complexion dimm'd;
And every fair from fair sometime declines,
By chance or nature's changing course untrimm'd;
"""
LENGTH, WIDTH, HEADS, LAYERS = 32, 64, 4, 2


# --- 1. Attention ---
class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.projection = nn.Linear(width, 3 * width, bias=False)
        self.output = nn.Linear(width, width, bias=False)

    def forward(self, x):
        batch, length, width = x.shape
        parts = self.projection(x).view(batch, length, 3 * self.heads, -1).transpose(1, 2)
        q, k, v = parts.chunk(3, dim=1)
        score = q @ k.transpose(-2, -1) / math.sqrt(q.size(-1))
        future = torch.ones(length, length, dtype=torch.bool).triu(1)
        weight = score.masked_fill(future, -math.inf).softmax(-1)
        return self.output((weight @ v).transpose(1, 2).flatten(2))


# --- 2. The position-wise network ---
class Mlp(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.up = nn.Linear(width, 4 * width, bias=False)
        self.down = nn.Linear(4 * width, width, bias=False)

    def forward(self, x):
        return self.down(F.gelu(self.up(x)))


# --- 3. A block ---
class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1 = nn.LayerNorm(width, bias=False)
        self.attention = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, bias=False)
        self.mlp = Mlp(width)

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


# --- 4. The model ---
class CharModel(nn.Module):
    def __init__(self, vocab):
        super().__init__()
        self.tokens = nn.Embedding(vocab, WIDTH)
        self.positions = nn.Embedding(LENGTH, WIDTH)
        self.blocks = nn.ModuleList(Block(WIDTH, HEADS) for _ in range(LAYERS))
        self.norm = nn.LayerNorm(WIDTH, bias=False)
        self.head = nn.Linear(WIDTH, vocab, bias=False)
        nn.init.normal_(self.tokens.weight, std=0.02)
        nn.init.normal_(self.positions.weight, std=0.02)

    def forward(self, ids):
        x = self.tokens(ids) + self.positions.weight[: ids.size(1)]
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


# --- 5. Text as numbers ---
letters = sorted(set(TEXT))
tokens = torch.tensor([letters.index(c) for c in TEXT])
print(f"text: {len(tokens)} characters, {len(letters)} different")
print("first tokens:", tokens[:5])

torch.manual_seed(1)
model = CharModel(len(letters))
print("logits:", list(model(tokens[:LENGTH].unsqueeze(0)).shape))
print("parameters:", sum(p.numel() for p in model.parameters()))

# --- 6. Nobody sees the future ---
with torch.no_grad():
    ids = tokens[:LENGTH].unsqueeze(0)
    changed = ids.clone()
    changed[0, 20] = 0
    same = (model(ids) == model(changed)).all(-1)[0]
print("positions before the change that noticed it:", (~same[:20]).sum().item())
print("position of the change noticed it:", not same[20].item())

# --- 7. Training ---
adam = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01)
for step in range(251):
    starts = torch.randint(len(tokens) - LENGTH, (16, 1))
    windows = tokens[starts + torch.arange(LENGTH + 1)]
    loss = F.cross_entropy(model(windows[:, :-1]).flatten(0, 1), windows[:, 1:].flatten())
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    adam.step()
    adam.zero_grad()
    if step % 50 == 0:
        print(f"step {step:3} loss {loss:.4f}")

# --- 8. Writing ---
written = tokens[:10].tolist()
with torch.no_grad():
    while len(written) < 100:
        logits = model(torch.tensor(written[-LENGTH:]).unsqueeze(0))
        written.append(logits[0, -1].argmax().item())
print("written:", "".join(letters[i] for i in written).replace("\n", "/"))

# --- 9. The library's block is this one ---
mine = Block(WIDTH, HEADS)
library = nn.TransformerEncoderLayer(WIDTH, HEADS, 4 * WIDTH, dropout=0, activation="gelu",
                                     batch_first=True, norm_first=True, bias=False)
library.load_state_dict({"self_attn.in_proj_weight": mine.attention.projection.weight,
                         "self_attn.out_proj.weight": mine.attention.output.weight,
                         "linear1.weight": mine.mlp.up.weight,
                         "linear2.weight": mine.mlp.down.weight,
                         "norm1.weight": mine.norm1.weight,
                         "norm2.weight": mine.norm2.weight})
x = torch.randn(1, LENGTH, WIDTH)
future = torch.ones(LENGTH, LENGTH, dtype=torch.bool).triu(1)
print("the library's block agrees:", torch.allclose(mine(x), library(x, future), atol=1e-5))
