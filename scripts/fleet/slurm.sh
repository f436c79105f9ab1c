#!/usr/bin/env bash
# Measures on each kind of node of a Slurm cluster: one whole run for each node, alone on it.
#   scripts/fleet/slurm.sh DIR FEATURE[:COUNT]… [-- ARGUMENTS OF threadbare run]
# DIR is a folder that all nodes see. A feature is a kind of node (`sinfo -o "%f %D"` lists
# them); COUNT runs of a kind are replicates. When the jobs have ended: threadbare collect DIR
# A job that sbatch refuses is named, and the others are submitted; the exit status is then 1.
# With a wrong argument no job is submitted, and the exit status is 2.
#   THREADBARE=PROGRAM      the program, with threadbare-lane beside it [default: threadbare on PATH]
#   SBATCH_…                options of sbatch, such as SBATCH_PARTITION and SBATCH_TIMELIMIT
set -euo pipefail
[ $# -ge 2 ] || { sed -n '2,9s/^# \?//p' "$0" >&2; exit 2; }
dir=$1; shift
program=$(command -v "${THREADBARE:-threadbare}") || { echo "no threadbare: name it in THREADBARE" >&2; exit 2; }
program=$(realpath "$program")
features=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do features+=("$1"); shift; done
[ $# = 0 ] || shift
wrong() { echo "wrong argument: $*" >&2; exit 2; }
[ "${#features[@]}" -gt 0 ] || wrong "no feature is named before --"
for feature in "${features[@]}"; do
    case $feature in
        -*) wrong "$feature is no feature: the arguments of threadbare run come after --";;
        ""|:*) wrong "'$feature' names no feature";;
        *:*) [[ ${feature##*:} =~ ^[1-9][0-9]*$ ]] || wrong "'$feature': the count after : is a number from 1";;
    esac
done
mkdir -p "$dir"
dir=$(realpath "$dir")
status=0
refuse() { echo "not sent: $*" >&2; status=1; }
for feature in "${features[@]}"; do
    count=1
    case $feature in *:*) count=${feature##*:}; feature=${feature%:*};; esac
    for number in $(seq "$count"); do
        # A feature may be an expression, such as epyc&ib.
        name=slurm-${feature//[^A-Za-z0-9._-]/_}-$number
        if [ -e "$dir/$name" ] || cut -f1 "$dir/expected.tsv" 2>/dev/null | grep -Fx "$name" >/dev/null; then
            refuse "$name is in $dir already, or is waited for: choose another DIR"
            continue
        fi
        export THREADBARE_PLACED="tool=slurm kind=$feature"
        # The run of a node that dies ends: its samples stay, and `collect` names it.
        if ! job=$(sbatch --parsable --exclusive --nodes=1 --ntasks=1 --no-requeue --export=ALL \
            --constraint="$feature" --job-name="threadbare-$feature" --output="$dir/$name.log" \
            --wrap="exec $(printf '%q ' "$program" run --out "$dir/$name" "$@")"); then
            refuse "sbatch refuses $name: see its error above"
            continue
        fi
        printf '%s\t%s\tslurm job %s\n' "$name" "$feature" "$job" >>"$dir/expected.tsv"
        echo "$job $name"
    done
done
exit "$status"
