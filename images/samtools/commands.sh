# The commands of the samtools image; see README.md. Sourced by `step` after step.sh.
# shellcheck shell=dash
# shellcheck disable=SC2034  # read by step.sh
step_commands='finish qc check'
# shellcheck source=images/base/bam.sh
. /usr/local/lib/step/bam.sh
# shellcheck source=images/samtools/check.sh
. /usr/local/lib/step/check.sh

# A BAM that must be whole, and of this sample and no other.
check_bam() {
    samtools quickcheck "$1" 2>/dev/null || die data "$(basename "$1") is broken" \
        "it has no BAM header or was cut off" "Remove it and run again the step that wrote it."
    names=$(samtools head "$1" | sed -n 's/^@RG\t\(.*\t\)*SM:\([^\t]*\).*/\2/p' | sort -u)
    [ "$names" = "$2" ] || die data "$(basename "$1") is not of sample $2" \
        "its read groups say '$(shown "$names")'" "Check which lanes belong to which sample."
}

# by_name FILE: a link of its own name in $WORK. What SAMtools writes holds its command line, which then says
# nothing of the run's directory: the same reads give the same bytes in every run.
by_name() {
    ln -s "$1" "$WORK/"
    basename "$1"
}

# step finish REFERENCE SAMPLE LANE[,LANE...] [SKIP]: merges the lanes, marks duplicates, indexes: SAMPLE.bam.
do_finish() {
    reference=${1:-} sample=${2:-} lanes=${3:-}
    take_skip "${4:--}"
    [ $# -le 4 ] || { shift 4 && no_more "$@"; }
    enter "$reference" "$sample"
    lane_names=$(each_lane "$lanes")
    set --
    for lane in $lane_names; do
        set -- "$@" "$RUN/lanes/$lane.bam"
    done
    input "$@"
    begin finish step finish "$reference" "$sample" "$lanes" "$skipped"

    for bam in "$@"; do
        check_bam "$bam" "$sample"
        shift
        set -- "$@" "$(by_name "$bam")"
    done
    if [ -n "$marking" ]; then
        merge -u - "$@" | mark - &
    else
        merge -f -l $BAM_LEVEL --write-index "$INDEXED" "$@" | digested out.bam &
    fi
    wait $! || broken=yes
    check_stages merge ${marking:+markdup}
    publish_bam
    finish
}

merge() {
    stage merge samtools merge -@ "$((THREADS - 1))" "$@"
}

# step qc REFERENCE SAMPLE: figures of SAMPLE.bam, in the formats that MultiQC reads: qc/SAMPLE.*.
do_qc() {
    reference=${1:-} sample=${2:-}
    [ $# -le 2 ] || { shift 2 && no_more "$@"; }
    enter "$reference" "$sample"
    bam=$RUN/$sample.bam
    input "$bam" "$bam.bai"
    begin qc step qc "$reference" "$sample"

    check_bam "$bam" "$sample"
    by_name "$bam.bai" > /dev/null
    bam=$(by_name "$bam")
    # Side by side: each reads the whole BAM by itself, and idxstats only the index.
    stage flagstat samtools flagstat "$bam" > flagstat.txt &
    stage coverage samtools coverage "$bam" > coverage.txt &
    stage idxstats samtools idxstats "$bam" > idxstats.txt &
    stage stats samtools stats -@ "$((THREADS - 1))" "$bam" > stats.txt &
    wait
    check_stages flagstat coverage idxstats stats
    for figure in flagstat coverage idxstats stats; do
        [ -s "$figure.txt" ] || die tool "no $figure" "samtools wrote nothing" "Run the step again."
        publish "$figure.txt" "$RUN/qc/$sample.$figure.txt"
    done
    finish
}
