#!/usr/bin/env bash
# Recursive ROAR: trains a suite level by level, each on the words that the level before has left, then shows the table.
#   bash recipes/roar.sh recipes/suites/evidence-roar.yaml
# The suite names its data sets NAME-0, NAME-20 and so on, has a method `random`, and for each METHOD whose words are masked
# either METHOD itself or words-METHOD marks them. What is done is not done again.
set -euo pipefail

suite=$1 name=${NAME:-sst} folder=${FOLDER:-runs/roar} jobs=${JOBS:-1}
read -ra methods <<< "${METHODS:-aa-ig slm-fp slm-fp-led}"
read -ra levels <<< "${LEVELS:-20 40 60}"
read -ra data <<< "${DATA:---config recipes/data/sst.yaml --data.limit 1600}"

share() { printf '%s' "$(awk "BEGIN { print $1 / 100 }")"; }

before=0
for level in "${levels[@]}"; do
    python -m unirex.suite "$suite" --only "$name-$before" --jobs "$jobs"
    for method in "${methods[@]}"; do
        marker=$method
        if grep -qE "^ *words-$method:" "$suite"; then marker=words-$method; fi
        run=$folder/runs/$name-$before/$marker/0
        # A run that only the ledger has, of another machine or suite, has left no model here.
        if [ ! -e "$run/metrics.json" ]; then
            planned=$(python -m unirex.suite "$suite" --only "$name-$before" "$marker" --dry-run)
            eval "$(grep '^  python -m unirex.train ' <<< "$planned") --resume true"
        fi
        scores=()
        for split in train val test; do
            scores+=("$run/words/$split/predictions.parquet")
            [ -e "$run/words/$split/metrics.json" ] || python -m unirex.evaluate --model "$run/model" "${data[@]}" \
                --data.masked "$folder/masks/$method" --data.masked_share "$(share "$before")" --eval.split "$split" \
                --eval.fractions '[0.5]' --eval.references '[]' --output "$run/words/$split" > "$run/words-$split.log"
        done
        next=(--share "$(share "$level")" --before "$(share "$before")" --scores "${scores[@]}")
        python -m unirex.roar "${next[@]}" --output "$folder/masks/$method"
    done
    python -m unirex.roar "${next[@]}" --output "$folder/masks/random" --random 0 # the texts alone are used
    before=$level
done
python -m unirex.suite "$suite" --only "$name-$before" --jobs "$jobs"
