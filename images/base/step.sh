# The step library: the contract between a Batch job and the tool that it runs. POSIX shell, run by busybox.
#
# An image's commands.sh defines `step_commands`, the names of its commands, and a function do_NAME for
# each. A command checks its arguments (need_*), names its inputs (input), says what it is called (begin),
# which ends the step there if its record says that it is done, works in $WORK under names of its own,
# checks what it made, and hands over (publish, finish).
#
# Environment: WORKFLOW_NAME and EXECUTION_ID name the run's directory, SCRATCH is `lustre` or `local`
# (see check_scratch), STEP_IMAGE is the image's name and tag, set by its Dockerfile.
#
# Exit codes (sysexits.h):
#   64 usage   65 bad data   66 missing input   70 the tool failed   73 cannot create   74 I/O   75 try again
#   128+N killed by signal N
# shellcheck shell=dash

set -eu
# shellcheck disable=SC3040  # busybox ash has pipefail, and POSIX has had it since 2024
set -o pipefail
export LC_ALL=C
umask 022

SCRATCH_ROOT=/scratch
LUSTRE_MAGIC=bd00bd0

say() {
    printf 'step: %s\n' "$*" >&2
}

# die CLASS WHAT WHY NEXT: ends the step with one error: what happened, why, and what to do next.
die() {
    printf 'step: error: %s: %s. %s\n' "$2" "$3" "$4" >&2
    case $1 in
        usage) exit 64 ;;
        data) exit 65 ;;
        missing) exit 66 ;;
        create) exit 73 ;;
        io) exit 74 ;;
        retry) exit 75 ;;
        *) exit 70 ;; # tool
    esac
}

# ---- arguments: each is checked against a pattern, and nothing is ever evaluated -------------------------

# An argument that may hold anything at all, made fit to print: one line of printable ASCII, cut short.
shown() {
    printf '%s' "$1" | tr -c ' -~' '?' | cut -c 1-80
}

# need_name WHAT VALUE MAXIMUM: a name that is safe as a file name, a read group field and a JSON string.
need_name() {
    case $2 in
        '') die usage "no $1" "it is empty" "Give a name of letters, digits, '.', '_' and '-'." ;;
        [!A-Za-z0-9]* | *[!A-Za-z0-9._-]*)
            die usage "bad $1 '$(shown "$2")'" \
                "only letters, digits, '.', '_' and '-' may be in it, the first a letter or digit" "Rename it." ;;
    esac
    [ ${#2} -le "$3" ] || die usage "bad $1 '$(shown "$2")'" "it has ${#2} characters, $3 are allowed" "Shorten it."
}

# need_path WHAT VALUE: a path below a mount: names joined by '/', none of them '.' or '..' or hidden.
need_path() {
    case $2 in
        '') die usage "no $1" "it is empty" "Give its path below the mount." ;;
        [!A-Za-z0-9_]* | *[!A-Za-z0-9._/+=@-]* | */ | *//* | */.* | */-*)
            die usage "bad $1 '$(shown "$2")'" \
                "it must be a relative path of letters, digits and '._+=@-', with no part that starts with '.' or '-'" \
                "Give its path below the mount." ;;
    esac
    [ ${#2} -le 1024 ] || die usage "bad $1" "it has ${#2} characters, 1024 are allowed" "Shorten the path."
}

# need_number WHAT VALUE LOWEST HIGHEST
need_number() {
    case $2 in
        '' | *[!0-9]* | 0?* | ????????*)
            die usage "bad $1 '$(shown "$2")'" "it is not a whole number" "Give one from $3 to $4." ;;
    esac
    { [ "$2" -ge "$3" ] && [ "$2" -le "$4" ]; } ||
        die usage "bad $1 '$2'" "it is out of range" "Give a number from $3 to $4."
}

# need_variable NAME VALUE: a name that the job's environment must give.
need_variable() {
    [ -n "$2" ] || die usage "$1 is not set" "the job's environment must name its run" \
        "Set $1 in the job's environment (containerOverrides.environment)."
    need_name "$1" "$2" 80
}

# no_more ARGUMENT...: what is left after a command took its own. An argument of '-' is one that is not
# given: a job definition's command has a fixed length, whatever its command needs.
no_more() {
    for argument in "$@"; do
        [ "$argument" = - ] || die usage "too many arguments" "'$(shown "$argument")' is not expected here" \
            "See the image's README for the command's arguments."
    done
}

# given VALUE: whether an optional argument is there.
given() {
    [ -n "$1" ] && [ "$1" != - ]
}

# ---- the machine: threads and memory from the job's own resources ------------------------------------------

# What ECS knows of this container; nothing where there is no ECS.
container_limit() {
    [ -n "${ECS_CONTAINER_METADATA_URI_V4:-}" ] || return 0
    wget -q -T 2 -O - "$ECS_CONTAINER_METADATA_URI_V4" 2>/dev/null |
        sed -n "s/.*\"Limits\":{[^}]*\"$1\":\([0-9]*\).*/\1/p" || true
}

first_of() {
    for file in "$@"; do
        if [ -r "$file" ]; then
            head -n 1 "$file"
            return
        fi
    done
}

# The job's vCPUs. Batch gives them as CPU shares, 1024 each; STEP_VCPUS stands in where a kernel's shares
# cannot be read back (cgroup v2 keeps a weight, rounded).
threads() {
    cores=$(nproc)
    shares=$(container_limit CPU)
    if [ -z "$shares" ] && [ -n "${STEP_VCPUS:-}" ]; then
        need_number STEP_VCPUS "$STEP_VCPUS" 1 1024
        shares=$((STEP_VCPUS * 1024))
    fi
    [ -n "$shares" ] || shares=$(first_of /sys/fs/cgroup/cpu/cpu.shares)
    if [ -z "$shares" ]; then
        weight=$(first_of /sys/fs/cgroup/cpu.weight)
        shares=$((2 + (${weight:-39} - 1) * 262142 / 9999))
    fi
    count=$(((shares + 512) / 1024))
    [ "$count" -ge 1 ] || count=1
    [ "$count" -le "$cores" ] || count=$cores
    echo "$count"
}

# The job's memory in MiB: the container's limit, or the machine's where that is less.
memory_mib() {
    machine=$(awk '$1 == "MemTotal:" { print int($2 / 1024) }' /proc/meminfo)
    limit=$(first_of /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes)
    case $limit in
        '' | max | ????????????????*) echo "$machine" ;; # unlimited is a word, or a number near 2^63
        *)
            limit=$((limit / 1048576))
            [ "$limit" -le "$machine" ] || limit=$machine
            echo "$limit"
            ;;
    esac
}

# ---- the scratch file systems ---------------------------------------------------------------------------------

# check_scratch MOUNT...: each must be a Lustre file system (SCRATCH=lustre, the default), or at least a
# mount of its own (SCRATCH=local, which only a local rendering of a job definition says). Docker silently
# makes a missing host directory, and a host that failed to mount would take the results on its root disk.
check_scratch() {
    for mount in "$@"; do
        directory=$SCRATCH_ROOT/$mount
        case ${SCRATCH:-lustre} in
            lustre)
                [ "$(stat -f -c %t "$directory" 2>/dev/null)" = $LUSTRE_MAGIC ] ||
                    die io "$directory is not a Lustre file system" \
                        "the host did not mount it, or this job runs outside its compute environment" \
                        "Check the host's mounts; on one machine, use a local rendering (SCRATCH=local)."
                ;;
            local)
                grep -q "^[^ ]* [^ ]* [^ ]* [^ ]* $directory " /proc/self/mountinfo ||
                    die io "$directory is not mounted" "nothing of the host stands at this path" \
                        "Mount a directory there (docker run --volume DIRECTORY:$directory)."
                ;;
            *) die usage "bad SCRATCH '$(shown "$SCRATCH")'" "it is neither 'lustre' nor 'local'" "Correct the job definition." ;;
        esac
    done
}

# enter REFERENCE SAMPLE: the run and the sample's directory. Sets RUN.
enter() {
    need_variable WORKFLOW_NAME "${WORKFLOW_NAME:-}"
    need_variable EXECUTION_ID "${EXECUTION_ID:-}"
    [ "$EXECUTION_ID" != reference ] ||
        die usage "bad EXECUTION_ID 'reference'" "prepared references are kept under that name" "Choose another."
    need_path reference "$1"
    need_name "sample name" "$2" 64
    check_scratch reference data working
    RUN=$SCRATCH_ROOT/working/$WORKFLOW_NAME/$EXECUTION_ID/$2
}

# find_reference REFERENCE INDEX-SUFFIXES [IMAGE]: the FASTA below /scratch/reference if its index stands beside it, or
# the copy that `step index` of an image prepared below /scratch/working. Sets FASTA.
find_reference() {
    for FASTA in "$SCRATCH_ROOT/reference/$1" "$SCRATCH_ROOT/working/$WORKFLOW_NAME/reference/$1"; do
        for suffix in $2; do
            if [ -s "$FASTA" ] && [ -s "$FASTA$suffix" ]; then return 0; fi
        done
    done
    [ -e "$SCRATCH_ROOT/reference/$1" ] || [ -e "$FASTA" ] ||
        die missing "no reference '$1'" "$SCRATCH_ROOT/reference/$1 is not there" "Check the name, and the import from S3."
    die missing "reference '$1' has no index" \
        "none of $(echo "$2" | sed "s/[^ ][^ ]*/'&'/g") stands beside it, nor in $(dirname "$FASTA")" \
        "Run 'step index $1' once, with the ${3:-bwa} image."
}

# input FILE...: files that this step reads. They must be there; the record names them.
INPUTS=
input() {
    for file in "$@"; do
        [ -e "$file" ] || die missing "no $(basename "$file")" "$file is not there" \
            "Check the name, and that the step before this one has run."
        [ -f "$file" ] || die missing "$(basename "$file") is no file" "$file is a directory or a device" "Name the file itself."
        [ -r "$file" ] || die missing "cannot read $(basename "$file")" "$file is not readable for user $(id -u)" \
            "Make it readable (its mode in S3's x-amz-meta-file-permissions, or chmod)."
        INPUTS="$INPUTS$file
"
    done
}

# The digest that the step which wrote a file recorded for it, if the file still has that record's size and time;
# nothing if none did. Records of steps that are to be run again may name earlier files of the same path.
recorded_digest() {
    known=$(stat -L -c '{"path": "%n", "size": %s, "mtime": %Y,' "$1")
    cat "$RUN"/steps/*.json "$SCRATCH_ROOT/working/$WORKFLOW_NAME"/reference/steps/*.json 2>/dev/null |
        sed -n "s|^ *$known \"sha256\": \"\([0-9a-f]*\)\"},*\$|\1|p" | tail -n 1
}

# file_line PATH DIGEST: a file as a JSON object, on one line.
file_line() {
    printf '    {"path": "%s", "size": %s, "mtime": %s, "sha256": %s}' "$1" "$(stat -L -c %s "$1")" "$(stat -L -c %Y "$1")" "$2"
}

quoted_or_null() {
    if [ -n "$1" ]; then printf '"%s"' "$1"; else printf null; fi
}

# ---- a step's life: begin, stage, publish, finish ------------------------------------------------------------

# begin STEP ARGUMENT...: names the step, ends it if its record says that it is done, and makes its work
# directory. Sets RECORD, WORK, KEY. The key is what the result depends on: the image, the arguments, and the
# path, size and time of every input.
begin() {
    step=$1
    shift
    RECORD=$RUN/steps/$step.json
    ARGUMENTS=
    for argument in "$@"; do
        ARGUMENTS="$ARGUMENTS${ARGUMENTS:+, }\"$argument\""
    done
    input_lines=$(printf '%s' "$INPUTS" | while IFS= read -r file; do
        file_line "$file" "$(quoted_or_null "$(recorded_digest "$file")")"
        echo ,
    done)
    input_lines=${input_lines%,}
    input_lines=${input_lines:+
$input_lines
  }
    KEY=$(printf '%s\n%s\n%s\n' "${STEP_IMAGE:-}" "$ARGUMENTS" "$(printf '%s' "$input_lines" | sed 's/, "sha256".*//')" |
        sha256sum | cut -d ' ' -f 1)
    if is_done; then
        say "$step is done already ($RECORD): nothing to do"
        exit 0
    fi
    mkdir -p "$RUN/steps" 2>/dev/null || die create "cannot write below $RUN" \
        "user $(id -u) may not, or the file system is read-only or full" "Make $SCRATCH_ROOT/working writable for this user."
    # Work directories are on the file system of the results, so that a rename publishes, but beside the runs,
    # so that an export meets nothing half-written.
    desk=$SCRATCH_ROOT/working/.work/${RUN#"$SCRATCH_ROOT/working/"}
    mkdir -p "$desk" 2>/dev/null || die create "cannot write below $SCRATCH_ROOT/working/.work" \
        "user $(id -u) may not, or the file system is read-only or full" "Make $SCRATCH_ROOT/working writable for this user."
    # One attempt at a time looks for what the dead left and makes its own directory; the second lock is held
    # for as long as this process lives, and tells the living from the dead.
    exec 8> "$desk/.lock"
    flock 8
    sweep "$desk/tmp.$step"
    WORK=$(mktemp -d "$desk/tmp.$step.XXXXXX") || die create "cannot make a work directory" "mktemp failed in $desk" \
        "Check the space and the permissions of $SCRATCH_ROOT/working."
    exec 9> "$WORK/.lock"
    flock -n 9
    exec 8>&-
    trap 'abandon $?' EXIT
    trap 'exit 143' TERM
    trap 'exit 130' INT
    cd "$WORK"
    THREADS=$(threads)
    MEMORY=$(memory_mib)
    STARTED=$(now)
    STARTED_AT=$(uptime_seconds)
    OUTPUTS=
    say "$step: $THREADS threads, $MEMORY MiB"
}

# RFC 3339, to the millisecond: busybox's date knows seconds only, but a new file's time is finer.
now() {
    : > "$WORK/.now"
    TZ=UTC stat -c %y "$WORK/.now" | sed 's/ /T/; s/\.\(...\).*/.\1Z/'
}

uptime_seconds() {
    cut -d ' ' -f 1 /proc/uptime
}

# sweep PREFIX: removes what killed attempts of this step left. An attempt that lives holds its lock; one that was killed
# does not. (Lustre must be mounted with `flock` for this to hold between hosts, and it is.)
sweep() {
    for left in "$1".*; do
        [ -d "$left" ] || continue
        if flock -n "$left/.lock" true 2>/dev/null; then rm -rf "$left"; fi
    done
}

abandon() {
    trap - EXIT
    cd /
    rm -rf "$WORK"
    exit "$1"
}

# The record must have this key, and every output that it names the size and time that it says.
is_done() {
    [ -s "$RECORD" ] && grep -q "^  \"key\": \"$KEY\",\$" "$RECORD" || return 1
    sed -n '/^  "outputs"/,/^  \]/s/^    {"path": "\([^"]*\)", "size": \([0-9]*\), "mtime": \([0-9]*\), .*/\2 \3 \1/p' "$RECORD" |
        while read -r size time path; do
            [ "$(stat -c '%s %Y' "$path" 2>/dev/null)" = "$size $time" ] || exit 1
        done
}

# stage NAME COMMAND...: one tool of a pipeline, with what it cost kept for the record and its exit status
# for `check_stages`.
stage() {
    stage_name=$1
    shift
    stage_status=0
    time -o "$WORK/.$stage_name.time" -f '%U %S %M' "$@" || stage_status=$?
    echo $stage_status > "$WORK/.$stage_name.status"
    return $stage_status
}

# check_stages NAME...: after `pipeline & wait $! || broken=yes`, in the order in which the data went: the first stage that
# failed is the one to name. A stage that the next one hung up on (SIGPIPE) is not the cause. Pipelines run in the
# background, since the shell heeds a SIGTERM while it waits, but not while a foreground child runs.
broken=
check_stages() {
    for stage_name in "$@"; do
        stage_status=$(cat "$WORK/.$stage_name.status" 2>/dev/null || echo lost)
        case $stage_status in
            0 | 141) ;;
            137 | 9) killed "$stage_name" ;;
            *)
                [ "$(stat -f -c %a "$WORK")" != 0 ] || die io "$stage_name failed" \
                    "no space is left on $SCRATCH_ROOT/working" "Remove old runs, or raise the file system's capacity."
                die tool "$stage_name failed" "its exit status is $stage_status" "Its own messages stand above."
                ;;
        esac
    done
    [ -z "$broken" ] || die io "cannot write to $WORK" "the last stage of $step ended early" \
        "The messages above say why; check the space of $SCRATCH_ROOT/working."
}

killed() {
    printf 'step: error: %s was killed: most likely it needed more than the %s MiB of this job. %s\n' \
        "$1" "$MEMORY" "Raise the job's memory." >&2
    exit 137
}

# digested FILE: writes what it reads to FILE, and its digest beside it, in one pass.
digested() {
    tee "$WORK/$1" | sha256sum | cut -d ' ' -f 1 > "$WORK/.$1.sha256"
}

# publish NAME TARGET: renames a finished file of $WORK to its final name. The one moment at which a result
# comes to be.
publish() {
    mkdir -p "$(dirname "$2")" || die create "cannot write $2" "its directory cannot be made" "Check the permissions of $RUN."
    digest=
    if [ -s "$WORK/.$1.sha256" ]; then
        digest=$(cat "$WORK/.$1.sha256")
    elif [ "$(stat -c %s "$WORK/$1")" -le 16777216 ]; then
        digest=$(sha256sum "$WORK/$1" | cut -d ' ' -f 1)
    fi
    mv -f "$WORK/$1" "$2" || die create "cannot write $2" "the rename failed" "Check the space and the permissions of $RUN."
    note_output "$2" "$digest"
}

# publish_unless_same NAME TARGET: the same, but a target with this very content stays as it is, its time included,
# by which other steps' records know it.
publish_unless_same() {
    if cmp -s "$WORK/$1" "$2"; then
        note_output "$2" "$(cat "$WORK/.$1.sha256" 2>/dev/null || recorded_digest "$2")"
    else
        publish "$1" "$2"
    fi
}

# note_output TARGET DIGEST: a result, for the record.
note_output() {
    OUTPUTS="$OUTPUTS${OUTPUTS:+,
}$(file_line "$1" "$(quoted_or_null "$2")")"
}

# finish: the step's record, written last: with it the step is done.
finish() {
    # The shell's own time and that of every child it waited for; a subshell would see only its own.
    times > "$WORK/.times"
    cpu=$(awk '{ for (i = 1; i <= 2; i++) { split($i, part, /[ms]/); total[i] += part[1] * 60 + part[2] } }
        END { printf "\"user_seconds\": %.2f,\n  \"system_seconds\": %.2f", total[1], total[2] }' "$WORK/.times")
    stages=$(for file in "$WORK"/.*.time; do
        [ -s "$file" ] || continue
        name=${file##*/.}
        tail -n 1 "$file" | awk -v name="${name%.time}" \
            '{ printf "    {\"name\": \"%s\", \"user_seconds\": %s, \"system_seconds\": %s, \"peak_memory_bytes\": %.0f},\n", name, $1, $2, $3 * 1024 }'
    done)
    # What it and its children read and wrote of file systems, as the kernel counts: pipes and cached pages are not in it.
    moved=$(awk '$1 ~ /^(read|write)_bytes:/ { printf "\"%s_bytes\": %.0f,\n  ", $1 == "read_bytes:" ? "read" : "written", $2 }' "/proc/$$/io")
    peak=$(printf '%s' "$stages" | awk -F'"peak_memory_bytes": ' '{ total += $2 } END { printf "%.0f", total }')
    cat > "$WORK/.record" << JSON
{
  "step": "$step",
  "image": "${STEP_IMAGE:-}",
  "command": [$ARGUMENTS],
  "key": "$KEY",
  "start": "$STARTED",
  "end": "$(now)",
  "wall_seconds": $(echo "$STARTED_AT $(uptime_seconds)" | awk '{ printf "%.2f", $2 - $1 }'),
  $cpu,
  $moved"peak_memory_bytes": $peak,
  "threads": $THREADS,
  "memory_mib": $MEMORY,
  "stages": [
${stages%,}
  ],
  "inputs": [$input_lines],
  "outputs": [
$OUTPUTS
  ]
}
JSON
    mv -f "$WORK/.record" "$RECORD" || die create "cannot write $RECORD" "the rename failed" "Check the space of $RUN."
    say "$step: done in $(sed -n 's/^  "wall_seconds": \(.*\),/\1/p' "$RECORD") s"
}

# ---- checks of what was made -------------------------------------------------------------------------------------

# The empty block that ends every BGZF file (SAM specification, 4.1.2): without it the file was cut off.
bgzf_is_whole() {
    [ "$(tail -c 28 "$1" | od -An -v -tx1 | tr -d ' \n')" = 1f8b08040000000000ff0600424302001b0003000000000000000000 ]
}

# ---- the door ---------------------------------------------------------------------------------------------------

step_main() {
    command=${1:-}
    # shellcheck disable=SC2154  # assigned by commands.sh
    for known in $step_commands; do
        if [ "$command" = "$known" ]; then
            shift
            "do_$command" "$@"
            exit 0
        fi
    done
    die usage "unknown command '$(shown "$command")'" "this image knows: $step_commands" \
        "Give one of them: step COMMAND REFERENCE SAMPLE INPUT..."
}
