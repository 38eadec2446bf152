# The commands of the fsx-export image; see README.md. Sourced by `step` after step.sh.
# shellcheck shell=dash
# shellcheck disable=SC2034  # read by step.sh
step_commands='export'

need_file_system() {
    [ -n "$1" ] || die usage "FILE_SYSTEM_ID is not set" "the job's environment must name the file system to export from" \
        "Set FILE_SYSTEM_ID in the job's environment (containerOverrides.environment)."
    case $1 in
        fs-????????*) case ${1#fs-} in *[!0-9a-f]*) ;; *) return 0 ;; esac ;;
    esac
    die usage "bad FILE_SYSTEM_ID '$(shown "$1")'" "it is not 'fs-' and eight or more of 0-9 and a-f" \
        "Give the id of the working file system."
}

# An s3:// URI of a bucket and perhaps a prefix: what it may hold further is for S3 to say.
need_report() {
    case $1 in
        s3://[!a-z0-9]* | s3:// | *[!A-Za-z0-9._:/+=@-]* | s3://*//* | */) ;;
        s3://*) return 0 ;;
    esac
    die usage "bad EXPORT_REPORT '$(shown "$1")'" "it is not an s3:// URI without a '/' at its end" \
        "Give a path beneath the one that the file system exports to."
}

# Every file that there is to export, with its size, time, mode and owner: the receipt of this export is not
# among them.
contents() {
    cd "$RUN" && find . \( -path ./export.json -o -path ./steps/export.json \) -prune -o \
        \( -type f -o -type l \) -exec stat -c '%s %Y %a %u %g %n' {} + | sort
}

# The program's own errors are one line each, with an exit code that means what it does here.
export_failed() {
    case $1 in
        64 | 65 | 70 | 74 | 75) exit "$1" ;;
    esac
    check_stages export
    die tool "export failed" "its exit status is $1" "Its own messages stand above."
}

# step export REFERENCE SAMPLE: exports the run's directory, or that of one sample, to S3: export.json.
do_export() {
    reference=${1:--} sample=${2:--}
    [ $# -le 2 ] || { shift 2 && no_more "$@"; }
    if given "$reference"; then need_path reference "$reference"; fi
    need_variable WORKFLOW_NAME "${WORKFLOW_NAME:-}"
    need_variable EXECUTION_ID "${EXECUTION_ID:-}"
    need_file_system "${FILE_SYSTEM_ID:-}"
    if [ -n "${EXPORT_REPORT:-}" ]; then need_report "$EXPORT_REPORT"; fi
    working=${WORKING_PATH:--}
    if given "$working"; then need_path WORKING_PATH "$working"; fi
    path=$WORKFLOW_NAME/$EXECUTION_ID
    if given "$sample"; then
        need_name "sample name" "$sample" 64
        path=$path/$sample
    fi
    check_scratch working
    RUN=$SCRATCH_ROOT/working/$path
    [ -d "$RUN" ] || die missing "nothing to export" "$RUN is not there" \
        "Check WORKFLOW_NAME, EXECUTION_ID and the sample, and that the steps before this one have run."
    listing=$(contents) || die io "cannot read $RUN" "some of it is not readable for user $(id -u)" "Check its permissions."
    [ -n "$listing" ] || die missing "nothing to export" "$RUN holds no file" "Check that the steps before this one have run."
    digest=$(printf '%s\n' "$listing" | sha256sum | cut -d ' ' -f 1)
    begin export step export "$reference" "$sample" "FILE_SYSTEM_ID=$FILE_SYSTEM_ID" "WORKING_PATH=$working" \
        "EXPORT_REPORT=${EXPORT_REPORT:-}" "contents=$digest"
    printf '%s\n' "$listing" | awk -v path="$path" '{ bytes += $1 }
        END { printf "step: export: %d files, %.0f bytes beneath %s\n", NR, bytes, path }' >&2

    # Waited for in the background, so that a SIGTERM ends this step at once: the task goes on without it, and
    # the next attempt takes it up.
    stage export python3 -I /usr/local/lib/step/export.py --file-system "$FILE_SYSTEM_ID" --path "$path" \
        --contents "$digest" ${EXPORT_REPORT:+--report "$EXPORT_REPORT"} --receipt export.json &
    wait $! || export_failed $?
    publish export.json "$RUN/export.json"
    finish
}
