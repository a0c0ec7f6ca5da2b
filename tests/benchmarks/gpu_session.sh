#!/usr/bin/env bash
# All figures that need a GPU, the most important first; each part has its own time limit.
# bash tests/benchmarks/gpu_session.sh FOLDER   writes one file of JSON lines a part into FOLDER.
set -u
out=$1; export PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 OMP_NUM_THREADS=1
b=tests/benchmarks
timeout 70 python3 $b/check_device.py --device cuda >"$out/check.jsonl" 2>"$out/errors.log"
# Small networks leave a GPU idle between kernels: many processes share it.
study=$(mktemp -d)
for prompt in "red heart" "grinning cat" "blue car" "green tree" "house"; do
    for guard in soft off; do
        for reward in jpeg_size brightness colourfulness; do
            if [[ $reward == jpeg_size ]]; then how="--lr 0.05 --neighbours 16 --steps 60"; else how="--lr 0.025 --steps 30"; fi
            printf '%s\0' "timeout 220 python3 $b/study_alignment.py --device cuda --seeds 20 \
                --sampling-steps 6 --guards $guard --rewards $reward --prompts '$prompt' $how \
                >'$study/$reward-$guard-$prompt' 2>>'$study/errors'"
        done
    done
done | timeout 250 xargs -0 -n 1 -P 15 bash -c
cat "$study"/*-* >"$out/study.jsonl"; tail -n 30 "$study/errors" >>"$out/errors.log"
timeout 60 python3 $b/bench_dynamic.py --device cuda --repeats 9 >"$out/dynamic.json" 2>>"$out/errors.log"
timeout 110 python3 $b/bench_alignment.py --device cuda --quick >"$out/alignment.jsonl" 2>>"$out/errors.log"
timeout 70 python3 $b/bench_parallel.py --device cuda >"$out/parallel.jsonl" 2>>"$out/errors.log"
timeout 30 python3 $b/bench_generation.py --device cuda >"$out/generation.json" 2>>"$out/errors.log"
wc -l "$out"/*; tail -n 40 "$out/errors.log"
