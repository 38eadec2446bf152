# The commands of the samtools image; see README.md. Sourced by `step` after step.sh.
# shellcheck shell=dash
# shellcheck disable=SC2034  # read by step.sh
step_commands='finish qc check'
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

# index_works BAM INDEX: by a look at the first base, since idxstats would do without: it reads the whole BAM instead.
index_works() {
    first=$(samtools head "$1" | sed -n 's/^@SQ\t\(.*\t\)*SN:\([^\t]*\).*/\2/p' | sed -n 1p)
    samtools view -c -X "$1" "$2" "{$first}:1-1" > /dev/null 2>&1
}

# by_name FILE: a link of its own name in $WORK. What SAMtools writes holds its command line, which then says
# nothing of the run's directory: the same reads give the same bytes in every run.
by_name() {
    ln -s "$1" "$WORK/"
    basename "$1"
}

# each_lane LANE[,LANE...]: the lanes, a line each. For a subshell: only commas part lanes, and a '*' stays what it is.
each_lane() {
    set -f
    IFS=,
    # shellcheck disable=SC2086  # a word each
    set -- $1
    [ $# -gt 0 ] || die usage "no lanes" "the names of the sample's lanes are needed" "Give them as L001,L002."
    for lane in "$@"; do
        need_name lane "$lane" 64
    done
    twice=$(printf '%s\n' "$@" | sort | uniq -d | head -n 1)
    [ -z "$twice" ] || die usage "lane '$twice' is given twice" "its reads would count twice" "Name each lane once."
    printf '%s\n' "$@"
}

# step finish REFERENCE SAMPLE LANE[,LANE...]: merges the lanes, marks duplicates, indexes: SAMPLE.bam.
do_finish() {
    reference=${1:-} sample=${2:-} lanes=${3:-}
    [ $# -le 3 ] || { shift 3 && no_more "$@"; }
    enter "$reference" "$sample"
    lane_names=$(each_lane "$lanes")
    set --
    for lane in $lane_names; do
        set -- "$@" "$RUN/lanes/$lane.bam"
    done
    input "$@"
    begin finish step finish "$reference" "$sample" "$lanes"

    for bam in "$@"; do
        check_bam "$bam" "$sample"
        shift
        set -- "$@" "$(by_name "$bam")"
    done
    # markdup writes the index of what it writes; `##idx##` names it, since the BAM itself goes to a pipe.
    if [ $# -eq 1 ]; then
        mark "$1" &
        wait $! || broken=yes
    else
        stage merge samtools merge -@ "$((THREADS - 1))" -u - "$@" | mark - &
        wait $! || broken=yes
        check_stages merge
    fi
    check_stages markdup
    samtools quickcheck out.bam || die tool "the BAM came out broken" "samtools quickcheck refuses it" "Run the step again."
    index_works out.bam out.bam.bai || die tool "the index came out broken" \
        "samtools cannot read it" "Run the step again."
    # markdup saves the index before the BAM's last block is out; readers warn of an index that is older.
    touch out.bam.bai
    publish markdup.txt "$RUN/qc/$sample.markdup.txt"
    publish out.bam.bai "$RUN/$sample.bam.bai"
    publish out.bam "$RUN/$sample.bam"
    finish
}

mark() {
    stage markdup samtools markdup -@ "$((THREADS - 1))" -T markdup -f markdup.txt --write-index \
        "$1" /dev/stdout##idx##out.bam.bai | digested out.bam
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
