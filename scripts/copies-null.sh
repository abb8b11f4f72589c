#!/usr/bin/env bash
# Trains the null of docs/COPIES.md: independent students, students of the same initial weights, and fine-tuned copies.
# Usage: scripts/copies-null.sh FOLDER mlp resnet depthwise_cnn mobilenet_v2. Resumable: a package that is there is not
# trained again.
set -euo pipefail
out=${1:?usage: scripts/copies-null.sh FOLDER FAMILY...}
student=${MINER_TEMPLATE:-cargo run --release -q -p miner-template --}

distil() { # folder, then options
    local folder=$1
    shift
    [ -e "$folder/model.safetensors" ] || $student distil --views 1 --out "$folder" "$@"
}

# Family, architecture, students, epochs, images.
null() {
    local family=$1 architecture=$2 students=$3 epochs=$4 images=$5 seed
    for seed in $(seq 1 "$students"); do
        distil "$out/$family/independent-$seed" --student "$architecture" --seed "$seed" --epochs "$epochs" --images "$images"
    done
    # Two students that begin with one set of random weights and see the data in another order.
    distil "$out/$family/initial" --student "$architecture" --seed 1001 --epochs 0 --images "$images"
    for seed in 1 2; do
        distil "$out/$family/same-start-$seed" --student "$architecture" --seed "200$seed" --epochs "$epochs" \
            --images "$images" --start-from "$out/$family/initial"
    done
    # A copier trains on for one short epoch with another seed.
    for seed in 1 2; do
        distil "$out/$family/fine-tuned-$seed" --student "$architecture" --seed "300$seed" --epochs 1 --images 10000 \
            --learning-rate 0.0005 --start-from "$out/$family/independent-$seed"
    done
}

printf '{"kind":"mlp","hidden":[32,32]}' >"${TMPDIR:-/tmp}/copies-mlp.json"
for family in "${@:2}"; do
    case $family in
    mlp) null mlp "${TMPDIR:-/tmp}/copies-mlp.json" 16 4 20000 ;;
    resnet) null resnet resnet-tiny 8 3 20000 ;;
    depthwise_cnn) null depthwise_cnn depthwise 6 2 10000 ;;
    mobilenet_v2) null mobilenet_v2 mobilenet 6 2 10000 ;;
    *) echo "no null is defined for $family" >&2 && exit 2 ;;
    esac
done
