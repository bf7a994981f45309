#!/usr/bin/env bash
# test: label=slow
# The array script under a real Slurm of one machine: each task trains its part, a task that is told to end checkpoints, comes back
# and goes on, and the files are those of one call of `moe suite`. Everything lies in a private folder, on ports of its own.
set -euo pipefail
moe=$1/bin/moe report=$1/bin/moe-report
source_dir=$PWD
for program in slurmctld slurmd sbatch scontrol squeue munged; do
    PATH=$PATH:/usr/sbin command -v $program >/dev/null || { echo "skipped: $program is not installed (packages slurm-wlm and munge)"; exit 77; }
done
export PATH=$PATH:/usr/sbin
work=$(mktemp -d /tmp/moe_slurm_XXXXXX)
services=()
finish() {
    scancel --full --user="$(id -un)" 2>/dev/null || true
    for pid in "${services[@]}"; do kill "$pid" 2>/dev/null || true; done
    for pid in "${services[@]}"; do wait "$pid" 2>/dev/null || true; done
    for found in $(grep -lsz "^MOE_SLURM_TEST=$work\$" /proc/[0-9]*/environ); do # what slurmd left running of a job
        pid=${found//[^0-9]/}
        kill -KILL "$pid" 2>/dev/null || true
    done
    rm -rf "$work"
}
trap finish EXIT
fail() {
    echo "FAILED: $*" >&2
    for log in "$work"/*.log "$work"/moe-suite-*; do [ -f "$log" ] && { echo "== $log"; tail -n 25 "$log"; } >&2; done
    exit 1
}
within() { # within SECONDS COMMAND...: until it succeeds
    local until=$((SECONDS + $1)); shift
    until "$@"; do [ $SECONDS -lt $until ] || return 1; sleep 0.2; done
}

# ---- munged, slurmctld, slurmd
user=$(id -un) host=$(hostname -s) base=$((20000 + $$ % 20000))
chmod 755 "$work"
mkdir -m 755 "$work/munge" "$work/state" "$work/spool"
dd if=/dev/urandom of="$work/munge/key" bs=128 count=1 2>/dev/null
chmod 400 "$work/munge/key"
munged --foreground --force --num-threads=2 --socket="$work/munge/socket" --key-file="$work/munge/key" --pid-file="$work/munge/pid" \
    --seed-file="$work/munge/seed" --log-file="$work/munge/log" >"$work/munged.log" 2>&1 &
services+=($!)
cat >"$work/slurm.conf" <<CONF
ClusterName=moe_test
SlurmctldHost=$host(127.0.0.1)
SlurmUser=$user
SlurmdUser=$user
SlurmctldPort=$base
SlurmdPort=$((base + 1))
AuthType=auth/munge
AuthInfo=socket=$work/munge/socket
CredType=cred/munge
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd.pid
SlurmctldLogFile=$work/slurmctld.log
SlurmdLogFile=$work/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,sched_min_interval=0,batch_sched_delay=1,requeue_delay=1
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
KillWait=20
MessageTimeout=30
SlurmdParameters=config_overrides
NodeName=$host NodeAddr=127.0.0.1 CPUs=2 RealMemory=512 State=UNKNOWN
PartitionName=all Nodes=$host Default=YES MaxTime=INFINITE State=UP
CONF
export SLURM_CONF=$work/slurm.conf MOE_SLURM_TEST=$work
within 20 test -S "$work/munge/socket" || { cat "$work/munged.log" >&2; echo "skipped: munged does not start here"; exit 77; }
slurmctld -D -f "$SLURM_CONF" >"$work/slurmctld.out.log" 2>&1 &
services+=($!)
slurmd -D -f "$SLURM_CONF" -N "$host" >"$work/slurmd.out.log" 2>&1 &
services+=($!)
ready() { sinfo -h -o %T 2>/dev/null | grep -qx idle; }
if ! within 60 ready; then
    tail -n 5 "$work"/*.log >&2
    echo "skipped: Slurm is installed but its node does not become idle here"
    exit 77
fi
echo "ok: Slurm runs"

# ---- two tasks, two parts
cd "$work"
export MOE=$moe MOE_SUITES=$source_dir/runs/suites
submit() { sbatch --parsable --cpus-per-task=1 "$@"; }
state_of() { scontrol show job "$1" 2>/dev/null | grep -o 'JobState=[A-Z]*' | sort -u | tr '\n' ' '; }
over() { [[ -z $(squeue -h -j "$1" 2>/dev/null) ]]; }
what=(moe-vs-dense --tier smoke --only dense,top2 --protocol corrected --seeds 1 --jobs 1 --threads 1)
"$moe" suite "${what[@]}" --runs-dir "$work/want" >"$work/want.log" 2>&1 || fail "the suite itself fails"
digests() { for file in "$1"/smoke/moe-vs-dense/*.h5; do echo "$(basename "$file") $("$report" runs digest "$file" | cut -d' ' -f1)"; done; }
digests "$work/want" >"$work/digests"
[ "$(wc -l <"$work/digests")" -eq 2 ] || fail "not two runs"

job=$(submit --array=1-2 "$source_dir/scripts/slurm/suite.sbatch" "${what[@]}" --runs-dir "$work/array")
within 240 over "$job" || fail "job $job does not end: $(state_of "$job")"
grep -h "runs: 1 trained now" moe-suite-"${job}"_1.log moe-suite-"${job}"_2.log | wc -l | grep -qx 2 || fail "not each task trained one run"
diff <(digests "$work/array") "$work/digests" >&2 || fail "the tasks' runs are not those of one call"
echo "ok: two tasks share a suite"

# ---- the signal before the time limit: checkpoint, back into the queue, on from there
long=(moe-vs-dense --tier smoke --only dense --protocol corrected --seeds 1 --jobs 1 --threads 1 --set train.max_epochs=8 --set train.patience=0)
"$moe" suite "${long[@]}" --runs-dir "$work/long_want" >"$work/want.log" 2>&1 || fail "the long run itself fails"
digests "$work/long_want" >"$work/digests"
run=$work/requeue/smoke/moe-vs-dense/dense.corrected.s1.h5
job=$(submit --array=1-1 "$source_dir/scripts/slurm/suite.sbatch" "${long[@]}" --runs-dir "$work/requeue")
begun() { [ -e "$run.live" ]; }
within 120 begun || fail "job $job does not begin: $(state_of "$job")"
scancel --batch --signal=USR1 "${job}_1"
stopped() { grep -q "interrupted" "moe-suite-${job}_1.log"; }
within 120 stopped || fail "USR1 does not stop the suite"
ended() { over "$job" || state_of "$job" | grep -q "PENDING\|FAILED\|CANCELLED"; }
within 60 ended || true
[ -e "$run" ] || [ -e "$run.ckpt" ] || fail "no checkpoint was left"
grep -q "queued again" "moe-suite-${job}_1.log" || fail "the task did not ask to be queued again"
if ! within 120 test -e "$run"; then # a node may refuse a task that comes back at once: then it is submitted anew
    scancel "$job" 2>/dev/null || true
    within 60 over "$job" || fail "job $job stays: $(state_of "$job")"
    [ -e "$run" ] || job=$(MOE_SHARDS=1 submit --array=1 "$source_dir/scripts/slurm/suite.sbatch" "${long[@]}" --runs-dir "$work/requeue")
    within 240 test -e "$run" || fail "the run is not completed: $(state_of "$job")"
fi
within 60 over "$job" || fail "job $job stays: $(state_of "$job")"
diff <(digests "$work/requeue") "$work/digests" >&2 || fail "the run that came back is another"
echo "ok: a task comes back and goes on"
