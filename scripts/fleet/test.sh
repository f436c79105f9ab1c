#!/usr/bin/env bash
# Tests the fleet's scripts on one host with the real tools: Slurm with two nodes of different
# kinds, ReFrame on it, and Ansible over two network namespaces with an sshd in each.
#   scripts/fleet/test.sh [slurm|reframe|ansible]…        [default: all; under five minutes]
# Needs root. A tool that is not installed is skipped with a message; REQUIRE_FLEET=1 makes it an
# error. Debian: apt-get install slurmctld slurmd slurm-client munge openssh-server iproute2
# and pip install ansible-core reframe-hpc. It leaves programs that run already alone.
#   THREADBARE=PROGRAM    [default: target/release/threadbare, else target/debug/threadbare]
set -euo pipefail
cd "$(dirname "$0")/../.."
here=$PWD/scripts/fleet
for built in "${THREADBARE:-}" target/release/threadbare target/debug/threadbare; do
    [ -x "$built" ] && break
done
THREADBARE=$(realpath "$built")
export THREADBARE NO_COLOR=1
work=$(mktemp -d /tmp/threadbare-fleet.XXXXXX)
chmod 755 "$work"
# Short runs: their figures are not checked.
short=(--workload spawn.one --lane "thread,process" --processes 2)
started=()
node_pids=()
namespaces=()

fail() { echo "FAILED: $*" >&2; exit 1; }

end() {
    for pid in "${started[@]}"; do kill -9 "$pid" 2>/dev/null || true; done
    for name in "${namespaces[@]}"; do ip netns del "$name" 2>/dev/null || true; done
    [ -n "${KEEP:-}" ] && echo "kept: $work" || rm -rf "$work"
}
trap end EXIT

missing() {
    for program in "$@"; do
        command -v "$program" >/dev/null || { echo "$program"; return; }
    done
}

skip() {
    [ -z "${REQUIRE_FLEET:-}" ] || fail "$1: $2 is missing"
    echo "== $1: skipped, $2 is missing"
}

# wait_for SECONDS COMMAND…: until it succeeds.
wait_for() {
    local left=$(($1 * 5)); shift
    until "$@" >/dev/null 2>&1; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || fail "waited in vain for: $*"
        sleep 0.2
    done
}

# state FOLDER NAME: the state of a run by `collect`.
state() {
    { "$THREADBARE" collect "$1" --format json || true; } |
        python3 -c 'import json, sys; print(next((one["state"] for one in json.load(sys.stdin) if one["name"] == sys.argv[1]), "unknown"))' "$2"
}

is_state() {
    local found; found=$(state "$1" "$2")
    case " $3 " in *" $found "*) echo "   $2: $found";; *) fail "$2 is $found, not $3";; esac
}

# Each node has its own process namespace, so killing a node kills all its processes.
start_slurm() {
    [ -z "${SLURM_CONF:-}" ] || return 0
    mkdir -p "$work"/slurm/{state,log,spooln1,spooln2,munge}
    local s=$work/slurm
    dd if=/dev/urandom of="$s/munge/key" bs=1024 count=1 status=none
    chmod 400 "$s/munge/key"
    chmod 755 "$s/munge"
    munged --foreground --force --key-file="$s/munge/key" --socket="$s/munge/socket" --pid-file="$s/munge/pid" \
        --log-file="$s/munge/log" --seed-file="$s/munge/seed" 2>"$s/log/munged" &
    started+=($!)
    disown
    wait_for 20 test -S "$s/munge/socket"
    cat >"$s/slurm.conf" <<CONF
ClusterName=t
SlurmctldHost=localhost
SlurmctldPort=17000
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$s/munge/socket
StateSaveLocation=$s/state
SlurmdSpoolDir=$s/spool%n
SlurmctldPidFile=$s/ctld.pid
SlurmdPidFile=$s/%n.pid
SlurmctldLogFile=$s/log/ctld
SlurmdLogFile=$s/log/%n
SlurmdTimeout=120
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/linear
ReturnToService=2
SlurmdParameters=config_overrides
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
NodeName=n1 NodeHostname=localhost Port=17001 CPUs=1 RealMemory=1000 Feature=kind_a
NodeName=n2 NodeHostname=localhost Port=17002 CPUs=1 RealMemory=1000 Feature=kind_b
PartitionName=p Nodes=n1,n2 Default=YES State=UP OverSubscribe=EXCLUSIVE MaxTime=30
CONF
    export SLURM_CONF=$s/slurm.conf
    slurmctld -D >"$s/log/ctld.out" 2>&1 &
    started+=($!)
    disown
    local cpus; cpus=$(nproc)
    for node in 1 2; do
        taskset -c $(((node - 1) % cpus)) unshare --pid --fork --mount-proc --kill-child \
            slurmd -D -N "n$node" >"$s/log/n$node.out" 2>&1 &
        node_pids[node]=$!
        started+=($!)
        disown
    done
    wait_for 40 sh -c '[ "$(sinfo -h -t idle -o %D)" = 2 ]'
}
job_state() { scontrol -o show job "$1" | grep -o 'JobState=[A-Z_]* Reason=[^ ]*'; }
is_running() { [[ $(job_state "$1") == JobState=RUNNING* ]]; }
is_over() { [[ $(job_state "$1") =~ ^JobState=(COMPLETED|FAILED|CANCELLED|TIMEOUT|NODE_FAIL)\  ]]; }
has_samples() { grep -q '"type":"group"' "$1/run.jsonl"; }

try_slurm() {
    echo "== slurm: each kind at once, a third job waits, a killed node's run is named (at $SECONDS s)"
    start_slurm
    local out=$work/slurm-runs jobs
    # Long enough to be seen and killed before their budget ends.
    "$here/slurm.sh" "$out" kind_a:2 kind_b -- --workload spawn.one,switch.yield --lane thread,process \
        --processes 12 --budget 900 | tee "$work/jobs"
    mapfile -t jobs < <(cut -d' ' -f1 "$work/jobs")
    local words again sent
    for words in kind_a: kind_a:x kind_a:0 "-- --budget 300" "kind_a --budget 300"; do
        again=0
        # shellcheck disable=SC2086
        "$here/slurm.sh" "$out" $words >"$work/sent" 2>&1 || again=$?
        [ "$again" = 2 ] && grep -q "wrong argument: " "$work/sent" || fail "$words, with status $again: $(cat "$work/sent")"
    done
    # Refused jobs and existing runs are named, and the others are submitted.
    again=0
    sent=$("$here/slurm.sh" "$out" no_such_kind kind_b kind_b:2 -- "${short[@]}" 2>"$work/refused") || again=$?
    scancel "${sent%% *}"
    [ "$again" = 1 ] && [[ $sent == *" slurm-kind_b-2" ]] || fail "beside a refused kind, sent with status $again: $sent"
    grep -q "sbatch refuses slurm-no_such_kind-1" "$work/refused" &&
        [ "$(grep -c "slurm-kind_b-1 is in .* already" "$work/refused")" = 2 ] || fail "not named: $(cat "$work/refused")"
    ! grep -q no_such_kind "$out/expected.tsv" || fail "what Slurm refused is expected back"
    is_state "$out" slurm-kind_b-2 missing
    wait_for 60 is_running "${jobs[0]}"
    wait_for 60 is_running "${jobs[2]}"
    case $(job_state "${jobs[1]}") in
        JobState=PENDING*) echo "   the second run of kind_a waits: $(job_state "${jobs[1]}")";;
        *) fail "the second run of kind_a is $(job_state "${jobs[1]}") while the first runs";;
    esac
    wait_for 90 has_samples "$out/slurm-kind_b-1"
    kill -9 "${node_pids[2]}"
    scontrol update NodeName=n2 State=DOWN Reason=killed
    scancel "${jobs[1]}"
    wait_for 150 is_over "${jobs[0]}"
    echo "   the first run of kind_a: $(job_state "${jobs[0]}")"
    # Both nodes are on one host, so `verify` would report that no job has a node to itself.
    is_state "$out" slurm-kind_a-1 "whole quarantined"
    is_state "$out" slurm-kind_a-2 missing
    is_state "$out" slurm-kind_b-1 cut_short
    "$THREADBARE" collect "$out" | sed 's/^/   /' || true
}

try_reframe() {
    echo "== reframe: a run a partition (at $SECONDS s)"
    start_slurm
    if ! kill -0 "${node_pids[2]}" 2>/dev/null; then
        taskset -c $((1 % $(nproc))) unshare --pid --fork --mount-proc --kill-child \
            slurmd -D -N n2 >"$work/slurm/log/n2.again" 2>&1 &
        started+=($!)
        disown
        wait_for 40 scontrol update NodeName=n2 State=RESUME
    fi
    wait_for 60 sh -c '[ "$(sinfo -h -t idle -o %D)" = 2 ]'
    cat >"$work/reframe.py" <<CONF
kinds = ['kind_a', 'kind_b']
site_configuration = {
    'systems': [{
        'name': 't', 'hostnames': ['.*'],
        'partitions': [{
            'name': kind, 'scheduler': 'squeue', 'launcher': 'local', 'environs': ['builtin'],
            'access': [f'--constraint={kind}'], 'max_jobs': 1,
        } for kind in kinds],
    }],
    'environments': [{'name': 'builtin', 'target_systems': ['t']}],
}
CONF
    # Earlier runs, one expected and one there. Their names have numbers.
    mkdir -p "$work/reframe-runs/reframe-kind_b"
    printf 'reframe-kind_a\tkind_a\treframe\n' >"$work/reframe-runs/expected.tsv"
    # The results are named relative to the working folder, which is not the jobs' folder.
    env -C "$work" THREADBARE_RESULTS=reframe-runs THREADBARE_ARGUMENTS="${short[*]}" \
        timeout 120 reframe -C "$work/reframe.py" -c "$here/reframe_threadbare.py" --prefix "$work/reframe" -r \
        -S time_limit=10m --nocolor --performance-report >"$work/reframe.log" 2>&1 || { cat "$work/reframe.log"; fail "reframe"; }
    grep -E "Ran |spawn.one" "$work/reframe.log" | sed 's/^/   /' || true
    grep -q "spawn.one-process" "$work/reframe.log" || fail "no ratio in the report of reframe"
    is_state "$work/reframe-runs" reframe-kind_a missing
    is_state "$work/reframe-runs" reframe-kind_a-2 "whole quarantined"
    is_state "$work/reframe-runs" reframe-kind_b-2 "whole quarantined"
    [ "$(cut -f1,2 "$work/reframe-runs/expected.tsv" | sort)" = $'reframe-kind_a\tkind_a\nreframe-kind_a-2\tkind_a\nreframe-kind_b-2\tkind_b' ] ||
        fail "ReFrame expects: $(cat "$work/reframe-runs/expected.tsv")"
}

try_ansible() {
    echo "== ansible: two hosts with nothing but sshd (at $SECONDS s)"
    local a=$work/ansible arch; arch=$(uname -m)
    mkdir -p "$a/programs/$arch" "$a/results"
    # Runs that were placed by hand before stay expected.
    printf 'laptop\tlaptop\tby hand\n' >"$a/results/expected.tsv"
    for program in threadbare threadbare-lane threadbare-lane-mimalloc; do
        ln -s "$(dirname "$THREADBARE")/$program" "$a/programs/$arch/$program"
    done
    ssh-keygen -q -t ed25519 -N '' -f "$a/key"
    ssh-keygen -q -t ed25519 -N '' -f "$a/host"
    cp "$a/key.pub" "$a/authorized"
    mkdir -p /run/sshd
    local number name inventory=
    for number in 1 2; do
        name=tbfleet$$-$number
        ip netns add "$name"
        namespaces+=("$name")
        ip link add "tbf$number-$$" type veth peer name eth0 netns "$name"
        ip addr add "10.213.$number.1/24" dev "tbf$number-$$"
        ip link set "tbf$number-$$" up
        ip -n "$name" addr add "10.213.$number.2/24" dev eth0
        ip -n "$name" link set eth0 up
        ip -n "$name" link set lo up
        ip netns exec "$name" /usr/sbin/sshd -D -e -f /dev/null -h "$a/host" -p 2222 \
            -o AuthorizedKeysFile="$a/authorized" -o StrictModes=no -o PermitRootLogin=yes -o UsePAM=no \
            -o Subsystem="sftp internal-sftp" -o PidFile=none 2>"$a/sshd$number.log" &
        started+=($!)
        disown
        wait_for 20 ssh-keyscan -p 2222 "10.213.$number.2"
        # The user's files in that folder stay.
        mkdir -p "$a/there$number" && touch "$a/there$number/mine"
        inventory+="board$number ansible_host=10.213.$number.2 folder=$a/there$number"$'\n'
    done
    # A third host that is switched off is reported missing.
    inventory+="board3 ansible_host=10.213.1.3 folder=$a/there3 kind=off"$'\n'
    printf '%s' "$inventory" >"$a/inventory"
    local results=$a/results
    play() {
        ANSIBLE_HOST_KEY_CHECKING=false ANSIBLE_PIPELINING=true ANSIBLE_TIMEOUT=5 ANSIBLE_LOCAL_TEMP="$a/tmp" \
            ansible-playbook -i "$a/inventory" "$here/ansible.yml" --private-key "$a/key" -u root \
            -e ansible_port=2222 -e ansible_python_interpreter="$(command -v python3)" -e programs="$a/programs" \
            -e results="$results" -e look_s=2 -e "{\"arguments\": \"${short[*]}\"}" >"$a/log" 2>&1
    }
    play && fail "the playbook does not say that board3 is off"
    is_state "$a/results" board1 "whole quarantined"
    is_state "$a/results" board2 "whole quarantined"
    is_state "$a/results" board3 missing
    [ ! -e "$a/there1/.threadbare-run" ] || fail "something is left on board1"
    [ -e "$a/there1/mine" ] || fail "what the user had on board1 is gone"
    is_state "$a/results" laptop missing
    [ "$(cut -f1,2 "$a/results/expected.tsv" | sort)" = $'board1\tboard1\nboard2\tboard2\nboard3\toff\nlaptop\tlaptop' ] ||
        fail "Ansible expects: $(cat "$a/results/expected.tsv")"
    local first; first=$(sha256sum <"$a/results/board1/run.jsonl")
    play && fail "a second play overwrites results"
    grep -q "board1 is there already" "$a/log" || fail "a second play does not say why it stops"
    [ "$first" = "$(sha256sum <"$a/results/board1/run.jsonl")" ] || fail "the run of board1 was overwritten"
    # Results that an earlier play left on a host are not part of this one.
    mkdir -p "$a/there1/.threadbare-run/results"
    cp "$a/results/board1/run.jsonl" "$a/there1/.threadbare-run/results/"
    results=$a/others
    play && fail "a play begins a run where there is one"
    grep -q "still on board1" "$a/log" || fail "the play does not say what is left on board1: $(cat "$a/log")"
    [ "$(ls "$a/there1/.threadbare-run")" = results ] || fail "the programs on board1 were overwritten"
    is_state "$results" board1 missing
}

if [ "$(id -u)" != 0 ]; then
    skip "fleet" "what needs root"
    exit 0
fi
tools=("$@")
[ $# -gt 0 ] || tools=(slurm reframe ansible)
for tool in "${tools[@]}"; do
    case $tool in
        slurm) needs=(munged slurmctld slurmd sbatch unshare taskset python3);;
        reframe) needs=(reframe munged slurmctld slurmd sbatch unshare taskset python3);;
        ansible) needs=(ansible-playbook ip ssh ssh-keygen ssh-keyscan python3 /usr/sbin/sshd);;
        *) fail "there is no tool $tool";;
    esac
    lacks=$(missing "${needs[@]}")
    if [ -n "$lacks" ]; then skip "$tool" "$lacks"; else "try_$tool"; fi
done
echo "== done in $SECONDS s"
