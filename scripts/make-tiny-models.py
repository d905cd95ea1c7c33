#!/usr/bin/env python3
"""usage: scripts/make-tiny-models.py [FOLDER]
       scripts/make-tiny-models.py --text TEXT FILE
       scripts/make-tiny-models.py --vision FOLDER

Writes tiny models that the real llama-server loads in some 20 ms and that say exactly what they are made to say, so
that tests can assert whole answers; and files that are broken in one way each. Prints the folder. Without FOLDER they
go into the cache, and are written again only when this script changes. Nothing but Python's own library is needed.

  tiny-script-f16   says one sentence and stops
  tiny-loop-f16     repeats a sentence until it is stopped
  tiny-think-f16    <think>, a thought, </think>, an answer
  tiny-tool-f16     calls get_weather
  tiny-embed-f16    an embedding model (mean pooling)
  tiny-script-q8_0  the first one with quantised weights: the kernels that real models need
  bad-…             magic, version, empty, header-cut, tensors-cut, text, arch, missing-key, gap, missing-tensor, shape,
                    too-many, tokenizer

--vision writes tiny-vision-f16, which says the sentence too, and its mmproj: it takes pictures, of which it knows nothing.

How they speak: the one layer has zero weights, so the state after a token is the token's own embedding. Each piece of
the text has a dimension of its own, every other token shares dimension 0. Row "next piece" of the output matrix looks
only at the dimension of the piece before it, so the most likely next token is always the next piece; after the last
one it is the end-of-turn token, or the first piece again. Any prompt ends in a token of dimension 0, which leads to
the first piece. With the weight below the right token has all of the probability that a float can show, at any
temperature a client would ask for.
"""
import hashlib
import math
import os
import random
import re
import struct
import sys
import tempfile

SENTENCE = "Hello from a tiny model. It always says exactly this and then it stops."
LOOP = "Round and round goes this small model, one word after another, until somebody stops it. "
THINK = "<think>\nThe user says hello. A short greeting will do.\n</think>\n\nHello! How can I help?"
TOOL = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris", "unit": "celsius"}}\n</tool_call>'

# ChatML with tools and thoughts written as Qwen and Hermes do it, which llama.cpp recognises by itself.
TEMPLATE = """\
{%- if tools -%}
<|im_start|>system
{% if messages[0].role == 'system' %}{{ messages[0].content }}

{% endif -%}
You may call functions. Their signatures are within <tools></tools>:
<tools>
{%- for tool in tools %}
{{ tool | tojson }}
{%- endfor %}
</tools>
Call one by writing:
<tool_call>
{"name": <its name>, "arguments": <a JSON object>}
</tool_call><|im_end|>
{% endif -%}
{%- for message in messages -%}
{%- if message.role == 'system' and tools and loop.first -%}
{%- elif message.role == 'assistant' -%}
<|im_start|>assistant
{% if message.reasoning_content %}<think>
{{ message.reasoning_content }}
</think>

{% endif %}{{ message.content or '' }}
{%- for call in message.tool_calls or [] %}
<tool_call>
{"name": "{{ call.function.name }}", "arguments": {% if call.function.arguments is string %}{{ call.function.arguments }}{% else %}{{ call.function.arguments | tojson }}{% endif %}}
</tool_call>
{%- endfor -%}
<|im_end|>
{% elif message.role == 'tool' -%}
<|im_start|>user
<tool_response>
{{ message.content }}
</tool_response><|im_end|>
{% else -%}
<|im_start|>{{ message.role }}
{{ message.content }}<|im_end|>
{% endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
<|im_start|>assistant
{% if enable_thinking is defined and enable_thinking is false %}<think>

</think>

{% endif -%}
{%- endif -%}
"""

NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6
F32, F16, Q8_0 = 0, 1, 8
HEADS = 2
CERTAIN = 60.0


def text_bytes(text):
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


class Gguf:
    """A GGUF v3 file in the making."""

    def __init__(self, arch):
        self.arch, self.pairs, self.tensors, self.gap = arch, [], [], 0
        self.put("general.architecture", arch)

    def put(self, key, value):
        kinds = {bool: (7, "<?"), int: (4, "<I"), float: (6, "<f")}
        if isinstance(value, str):
            body = struct.pack("<I", 8) + text_bytes(value)
        elif isinstance(value, list) and isinstance(value[0], str):
            body = struct.pack("<IIQ", 9, 8, len(value)) + b"".join(map(text_bytes, value))
        elif isinstance(value, list):
            kind, code = (6, "f") if isinstance(value[0], float) else (5, "i")
            body = struct.pack("<IIQ", 9, kind, len(value)) + struct.pack(f"<{len(value)}{code}", *value)
        else:
            kind, code = kinds[type(value)]
            body = struct.pack("<I", kind) + struct.pack(code, value)
        self.pairs.append(text_bytes(key) + body)

    def put_arch(self, **values):
        for key, value in values.items():
            self.put(f"{self.arch}.{key.replace('__', '.')}", value)

    def tensor(self, name, shape, kind, data):
        self.tensors.append((name, shape, kind, data))

    def bytes(self):
        head = b"GGUF" + struct.pack("<IQQ", 3, len(self.tensors), len(self.pairs)) + b"".join(self.pairs)
        offset, data = 0, b""
        for name, shape, kind, raw in self.tensors:
            head += text_bytes(name) + struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
            head += struct.pack("<IQ", kind, offset)
            data += raw + bytes(-len(raw) % 32 + self.gap)
            offset = len(data)
        return head + bytes(-len(head) % 32) + data


def halves(values):
    return struct.pack(f"<{len(values)}e", *values)


def bytes_of(values):
    """Blocks of 32: a scale as a half, then the values in units of it."""
    blocks = []
    for at in range(0, len(values), 32):
        block = values[at : at + 32]
        scale = max(map(abs, block)) / 127
        blocks.append(struct.pack("<e32b", scale, *(round(value / scale) if scale else 0 for value in block)))
    return b"".join(blocks)


def pieces(text):
    """Words with what surrounds them, joined until each piece is unlike all others: a vocabulary has no doubles."""
    found, piece = [], ""
    for word in re.findall(r"\s*\S+\s?|\s+", text):
        piece += word
        if piece not in found:
            found.append(piece)
            piece = ""
    while piece and found and piece in found:
        piece = found.pop() + piece
    return found + [piece] if piece else found


def vocabulary(chain):
    tokens = [("<unk>", UNKNOWN), ("<s>", CONTROL), ("</s>", CONTROL)]
    tokens += [(f"<0x{byte:02X}>", BYTE) for byte in range(256)]
    tokens += [("<|im_start|>", CONTROL), ("<|im_end|>", CONTROL)]
    # The tokenizer writes a blank as U+2581. A very low score keeps these pieces out of the prompt.
    return tokens + [(piece.replace(" ", "\u2581"), NORMAL) for piece in chain]


def width_for(chain):
    return max(64, -(-(len(chain) + 1) // 32) * 32)


def llama(name, chain=(), again=False, context=131072, kind=F16, spoil=lambda gguf: None):
    tokens = vocabulary(chain)
    count, first = len(tokens), len(tokens) - len(chain)
    width = width_for(chain)
    end = [text for text, _ in tokens].index("<|im_end|>")

    gguf = Gguf("llama")
    gguf.put("general.name", name)
    gguf.put("general.file_type", {F16: 1, Q8_0: 7}[kind])
    gguf.put_arch(context_length=context, embedding_length=width, block_count=1, feed_forward_length=width,
                  attention__head_count=HEADS, attention__head_count_kv=1, attention__layer_norm_rms_epsilon=1e-5,
                  rope__dimension_count=width // HEADS, rope__freq_base=10000.0, vocab_size=count)
    gguf.put("tokenizer.ggml.model", "llama")
    gguf.put("tokenizer.ggml.pre", "default")
    gguf.put("tokenizer.ggml.tokens", [text for text, _ in tokens])
    gguf.put("tokenizer.ggml.scores", [-1000.0 if kind == NORMAL else 0.0 for _, kind in tokens])
    gguf.put("tokenizer.ggml.token_type", [kind for _, kind in tokens])
    for key, value in (("bos", 1), ("eos", end), ("unknown", 0), ("padding", 0)):
        gguf.put(f"tokenizer.ggml.{key}_token_id", value)
    for key in ("add_bos_token", "add_eos_token", "add_space_prefix"):
        gguf.put(f"tokenizer.ggml.{key}", False)
    gguf.put("tokenizer.chat_template", TEMPLATE)

    if chain:
        embedding = [0.0] * (count * width)
        output = [0.0] * (count * width)
        for token in range(count):
            dimension = token - first + 1 if token >= first else 0
            embedding[token * width + dimension] = 1.0
            follower = first if dimension == 0 else token + 1
            if follower == count:
                follower = first if again else end
            # The norm before the output makes a 1 in one of `width` dimensions sqrt(width) large.
            if dimension or token == 0:
                output[follower * width + dimension] = CERTAIN / width**0.5
    else:
        gguf.put_arch(pooling_type=1)
        dice = random.Random(name)
        embedding = [dice.gauss(0.0, 1.0) for _ in range(count * width)]
        output = embedding
    packed = {F16: halves, Q8_0: bytes_of}[kind]
    ones = struct.pack(f"<{width}f", *[1.0] * width)
    gguf.tensor("token_embd.weight", (width, count), kind, packed(embedding))
    gguf.tensor("output_norm.weight", (width,), F32, ones)
    gguf.tensor("output.weight", (width, count), kind, packed(output))
    gguf.tensor("blk.0.attn_norm.weight", (width,), F32, ones)
    gguf.tensor("blk.0.ffn_norm.weight", (width,), F32, ones)
    for part in ("attn_q", "attn_output", "ffn_gate", "ffn_up", "ffn_down"):
        gguf.tensor(f"blk.0.{part}.weight", (width, width), kind, packed([0.0] * (width * width)))
    for part in ("attn_k", "attn_v"):
        gguf.tensor(f"blk.0.{part}.weight", (width, width // HEADS), kind, packed([0.0] * (width * width // HEADS)))
    spoil(gguf)
    return gguf.bytes()


def projector(width):
    """An mmproj for a model of this width: a picture becomes four embeddings of zeros."""
    size, patch, inner = 28, 14, 32
    gguf = Gguf("clip")
    gguf.put("general.type", "mmproj")
    gguf.put("general.name", "tiny vision")
    gguf.put_arch(has_vision_encoder=True, projector_type="mlp", use_gelu=True, vision__image_size=size,
                  vision__patch_size=patch, vision__embedding_length=inner, vision__feed_forward_length=inner,
                  vision__projection_dim=width, vision__block_count=1, vision__attention__head_count=HEADS,
                  vision__attention__layer_norm_epsilon=1e-5, vision__image_mean=[0.5] * 3, vision__image_std=[0.5] * 3)
    zeros = lambda *shape: (shape, F32, bytes(4 * math.prod(shape)))
    gguf.tensor("v.patch_embd.weight", (patch, patch, 3, inner), F16, bytes(2 * patch * patch * 3 * inner))
    gguf.tensor("v.position_embd.weight", *zeros(inner, (size // patch) ** 2))
    for part in ("attn_q", "attn_k", "attn_v", "attn_out", "ffn_up", "ffn_down"):
        gguf.tensor(f"v.blk.0.{part}.weight", *zeros(inner, inner))
        gguf.tensor(f"v.blk.0.{part}.bias", *zeros(inner))
    for part in ("ln1", "ln2"):
        gguf.tensor(f"v.blk.0.{part}.weight", *zeros(inner))
        gguf.tensor(f"v.blk.0.{part}.bias", *zeros(inner))
    gguf.tensor("mm.0.weight", *zeros(inner, width))
    gguf.tensor("mm.0.bias", *zeros(width))
    gguf.tensor("mm.2.weight", *zeros(width, width))
    gguf.tensor("mm.2.bias", *zeros(width))
    return gguf.bytes()


def headless(arch, *keys):
    gguf = Gguf(arch)
    for key in keys:
        gguf.put_arch(**{key: 128})
    gguf.tensor("token_embd.weight", (32, 8), F32, bytes(4 * 32 * 8))
    return gguf.bytes()


def spoilt(spoil):
    """A whole file but for one thing that the engine finds only when it loads it."""
    return llama("tiny spoilt", pieces(SENTENCE), spoil=spoil)


def with_gap(gguf):
    gguf.gap = 64


def without_a_tensor(gguf):
    gguf.tensors = [tensor for tensor in gguf.tensors if tensor[0] != "blk.0.attn_k.weight"]


def of_another_shape(gguf):
    name, shape, kind, raw = gguf.tensors.pop()
    gguf.tensor(name, (shape[1], shape[0]), kind, raw)


def with_a_tensor_more(gguf):
    gguf.tensor("blk.0.unknown.weight", (32,), F32, bytes(4 * 32))


def of_no_tokenizer(gguf):
    known = text_bytes("tokenizer.ggml.model")
    gguf.pairs = [pair for pair in gguf.pairs if not pair.startswith(known)]
    gguf.put("tokenizer.ggml.model", "nosuchtokenizer")


def models():
    whole = llama("tiny script", pieces(SENTENCE))
    return {
        "tiny-script-f16.gguf": whole,
        "tiny-loop-f16.gguf": llama("tiny loop", pieces(LOOP), again=True),
        "tiny-think-f16.gguf": llama("tiny think", pieces(THINK)),
        "tiny-tool-f16.gguf": llama("tiny tool", pieces(TOOL)),
        "tiny-embed-f16.gguf": llama("tiny embed", context=2048),
        "tiny-script-q8_0.gguf": llama("tiny script", pieces(SENTENCE), kind=Q8_0),
        "bad-magic.gguf": b"GGML" + whole[4:],
        "bad-version.gguf": whole[:4] + struct.pack("<I", 99) + whole[8:],
        "bad-empty.gguf": b"",
        "bad-header-cut.gguf": whole[:2000],
        "bad-tensors-cut.gguf": whole[: len(whole) * 6 // 10],
        "bad-text.gguf": b"<html>404 not found</html>\n" * 40,
        "bad-arch.gguf": headless("nosucharch", "block_count", "context_length", "embedding_length"),
        "bad-missing-key.gguf": headless("llama"),
        "bad-gap.gguf": spoilt(with_gap),
        "bad-missing-tensor.gguf": spoilt(without_a_tensor),
        "bad-shape.gguf": spoilt(of_another_shape),
        "bad-too-many.gguf": spoilt(with_a_tensor_more),
        "bad-tokenizer.gguf": spoilt(of_no_tokenizer),
    }


def write(path, data):
    """Whole or not at all: other tests may be writing the same folder."""
    handle, part = tempfile.mkstemp(dir=os.path.dirname(os.path.abspath(path)))
    with os.fdopen(handle, "wb") as out:
        out.write(data)
    os.chmod(part, 0o644)
    os.rename(part, path)


def main(words):
    if len(words) == 3 and words[0] == "--text":
        write(words[2], llama("tiny text", pieces(words[1])))
        print(words[2])
        return 0
    if len(words) == 2 and words[0] == "--vision":
        chain = pieces(SENTENCE)
        write(os.path.join(words[1], "tiny-vision-f16.gguf"), llama("tiny vision", chain))
        write(os.path.join(words[1], "mmproj-tiny-vision-f16.gguf"), projector(width_for(chain)))
        print(words[1])
        return 0
    if len(words) > 1 or (words and words[0].startswith("-")):
        print(__doc__.split("\n\n")[0], file=sys.stderr)
        return 64
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    folder = words[0] if words else os.path.join(cache, "auxot", "tiny-models")
    with open(__file__, "rb") as script:
        edition = hashlib.sha256(script.read()).hexdigest()
    stamp = os.path.join(folder, ".edition")
    try:
        with open(stamp, encoding="ascii") as file:
            fresh = file.read() == edition
    except OSError:
        fresh = False
    if not fresh:
        os.makedirs(folder, exist_ok=True)
        for name, data in models().items():
            write(os.path.join(folder, name), data)
        write(stamp, edition.encode())
    print(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
