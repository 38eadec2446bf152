# What the aligners' images have in common: preparing a reference, and taking a lane's FASTQ pair to a sorted BAM.
# Sourced by their commands.sh, after step.sh.
# shellcheck shell=dash
# shellcheck disable=SC2034,SC2154  # step.sh reads `broken`, and sets `desk`
# shellcheck source=images/base/bam.sh
. /usr/local/lib/step/bam.sh

# The files by which a reader knows that an aligner's index is there.
INDEXES='.bwt .bwt.2bit.64'

# prepare_reference STEP STAGE BYTES SUFFIXES REFERENCE COMMAND...: the FASTA with its sequence index and an aligner's
# index, below /scratch/working/WORKFLOW/reference, where every step finds them; /scratch/reference stays read-only.
# COMMAND is given the FASTA's name, in a directory that holds it, and takes at least BYTES of memory a base. SUFFIXES
# are those of the files to keep, the one that tells a reader that the index is there last.
prepare_reference() {
    index_step=$1 index_stage=$2 bytes=$3 suffixes=$4 reference=$5
    shift 5
    need_variable WORKFLOW_NAME "${WORKFLOW_NAME:-}"
    need_path reference "$reference"
    check_scratch reference working
    RUN=$SCRATCH_ROOT/working/$WORKFLOW_NAME/reference
    input "$SCRATCH_ROOT/reference/$reference"
    begin "$index_step.$(printf '%s' "$reference" | tr / _)" step index "$reference"

    source=$SCRATCH_ROOT/reference/$reference
    [ -s "$source" ] || die data "cannot index $reference" "the file is empty: there is no sequence in it" "Fetch it again."
    name=$(basename "$reference")
    stage copy cat "$source" | digested "$name" &
    wait $! || broken=yes
    check_stages copy
    if ! stage faidx samtools faidx "$name" 2> faidx.log; then
        cat faidx.log >&2
        die data "cannot index $reference" "it is not FASTA, or compressed by something other than bgzip" \
            "Give plain FASTA, or FASTA compressed with bgzip."
    fi
    [ -s "$name.fai" ] || die data "cannot index $reference" "there is no sequence in it" "Give a FASTA file."
    twice=$(sed -n 's/.*Ignoring duplicate sequence "\(.*\)" at.*/\1/p' faidx.log | head -n 1)
    [ -z "$twice" ] || die data "cannot index $reference" "sequence '$(shown "$twice")' stands in it twice" "Remove one of the two."
    needed=$(awk -v bytes="$bytes" '{ bases += $2 } END { printf "%d", bases * bytes / 1048576 }' "$name.fai")
    [ "$MEMORY" -gt "$needed" ] || die usage "too little memory" \
        "to index $reference takes $needed MiB and this job has $MEMORY" "Raise this job's memory."
    stage "$index_stage" "$@" "$name" &
    wait $! || true
    check_stages "$index_stage"

    # Two aligners' indexes stand side by side, and the FASTA and some files more are the same in both: those stay as
    # they are, so that neither step's record goes stale because of the other. Of another FASTA no index may be left.
    exec 7> "$desk/.publish"
    flock 7
    if [ -e "$RUN/$reference" ] && ! cmp -s "$name" "$RUN/$reference"; then
        for suffix in $INDEXES; do rm -f "$RUN/$reference$suffix"; done
    fi
    for suffix in $suffixes; do
        [ "$suffix" != FASTA ] || suffix=
        [ ! -e "$name$suffix" ] || publish_unless_same "$name$suffix" "$RUN/$reference$suffix"
    done
    finish
}

is_gzip() {
    [ "$(od -An -v -tx1 -N2 "$1" | tr -d ' \n')" = 1f8b ]
}

unpack() {
    if is_gzip "$1"; then gunzip -c "$1"; else cat "$1"; fi
}

# FLOWCELL.LANE as Illumina's read names give them (@INSTRUMENT:RUN:FLOWCELL:LANE:...), or the lane's name.
platform_unit() {
    { unpack "$1" 2>/dev/null || true; } | head -n 1 |
        awk -F: -v lane="$2" '{ print (NF >= 7 && $3 ~ /^[A-Za-z0-9-]+$/ && $4 ~ /^[0-9]+$/) ? $3 "." $4 : lane }'
}

# take_lane REFERENCE SAMPLE LANE R1 R2 [LIBRARY [PLATFORM-UNIT [LANES [SKIP]]]]: the arguments of `step mem`, checked.
# R1 and R2 are paths below /scratch/data, `-` stands for what is not given. LANES are all lanes of the sample; sets
# `alone` if this is the only one, and `stages`, what comes after the aligner.
take_lane() {
    reference=${1:-} sample=${2:-} lane=${3:-} r1=${4:-} r2=${5:-} library=${6:--} unit=${7:--} lanes=${8:--}
    take_skip "${9:--}"
    [ $# -le 9 ] || { shift 9 && no_more "$@"; }
    enter "$reference" "$sample"
    need_name lane "$lane" 64
    need_path R1 "$r1"
    need_path R2 "$r2"
    if given "$library"; then need_name library "$library" 64; else library=$sample; fi
    if given "$unit"; then need_name "platform unit" "$unit" 64; fi
    if given "$lanes"; then
        lane_names=$(each_lane "$lanes")
        case ,$lanes, in
            *",$lane,"*) ;;
            *) die usage "lane '$lane' is not among the sample's lanes" "those are $lanes" \
                "Name all lanes of the sample, or '-'." ;;
        esac
    fi
    alone='' stages="${marking:+fixmate }sort"
    if [ "$lanes" = "$lane" ]; then alone=yes stages="$stages${marking:+ markdup}"; else lanes=-; fi
    [ "$r1" != "$r2" ] || die usage "R1 and R2 are the same file" "both are '$r1'" "Name the lane's two files."
    r1_path=$SCRATCH_ROOT/data/$r1 r2_path=$SCRATCH_ROOT/data/$r2
    input "$r1_path" "$r2_path"
    # shellcheck disable=SC3013  # busybox test has -ef
    [ ! "$r1_path" -ef "$r2_path" ] || die usage "R1 and R2 are the same file" "'$r1' links to '$r2'" "Name the lane's two files."
}

# begin_lane: begins the step, once its index is found. Sets `group`, the read group as a header line.
begin_lane() {
    begin "mem.$lane" step mem "$reference" "$sample" "$lane" "$r1" "$r2" "$library" "$unit" "$lanes" "$skipped"
    for file in "$r1_path" "$r2_path"; do
        [ -s "$file" ] || die data "no reads in $(basename "$file")" "the file is empty" "Fetch it again."
    done
    given "$unit" || unit=$(platform_unit "$r1_path" "$lane")
    group="@RG\\tID:$sample.$lane\\tSM:$sample\\tLB:$library\\tPL:ILLUMINA\\tPU:$unit"
}

# mib_of FILE [TIMES]: what a file takes in memory, if that is so many times its size.
mib_of() {
    echo $(($(stat -L -c %s "$1") * ${2:-1} / 1048576))
}

# share_memory INDEX-MIB: half of what the index leaves is for sorting; the rest is for the aligner's batches and the
# pipes. Sets `spare_mib`, that half, and `sort_mib`, for each thread.
share_memory() {
    [ "$MEMORY" -gt "$1" ] || die usage "too little memory" \
        "the index of $reference takes $1 MiB and this job has $MEMORY" "Raise the job's memory."
    spare_mib=$(((MEMORY - $1) / 2))
    sort_mib=$((spare_mib / THREADS))
    [ "$sort_mib" -ge 32 ] || sort_mib=32
    [ "$sort_mib" -le 2048 ] || sort_mib=2048
}

# read_into PIPE FILE UNPACKER...: one FASTQ file, unpacked into a named pipe. The unpacker reads stdin.
read_into() {
    pipe=$1 file=$2
    shift 2
    is_gzip "$file" || set -- cat
    stage "unpack-$pipe" "$@" < "$file" > "$pipe" 2> "$pipe.log"
}

# read_lane UNPACKER...: both files, into the pipes r1 and r2.
read_lane() {
    mkfifo r1 r2
    read_into r1 "$r1_path" "$@" &
    readers=$!
    read_into r2 "$r2_path" "$@" &
    readers="$readers $!"
}

with_mate_tags() {
    stage fixmate samtools fixmate -m -u - -
}

by_place() {
    stage sort samtools sort -@ "$((THREADS - 1))" -m "${sort_mib}M" -T sort "$@" -
}

# sorted: what a pipe of alignments becomes: lane.bam, with the tags by which duplicates are found; of the sample's only
# lane the sample's own BAM and index, as SAMtools hands out the sorted records: they are written once.
sorted() {
    case ${alone:-no}-${marking:-no} in
        yes-yes) with_mate_tags | by_place -u | mark - ;;
        yes-no) by_place -l $BAM_LEVEL --write-index -o "$INDEXED" | digested out.bam ;;
        no-yes) with_mate_tags | by_place -l 1 | digested lane.bam ;;
        *) by_place -l 1 | digested lane.bam ;;
    esac
}

# finish_lane STAGE...: waits for the pipeline that was started last and for the readers, checks them, and publishes
# lanes/LANE.bam, or the sample's BAM. The stages are those before `sorted`.
finish_lane() {
    wait $! || broken=yes
    # Of an aligner that died before it opened its pipes, their writers would wait for ever: each opening, which for
    # reading and writing never waits itself, lets them go on, and end for want of a reader.
    for reader in ${broken:+$readers}; do
        while kill -0 "$reader" 2>/dev/null; do
            : <> r1
            : <> r2
            sleep 0.1
        done
    done
    wait

    # What could not be unpacked also looks short to what reads it: the first cause is the one to name.
    check_unpacked r1 "$r1"
    check_unpacked r2 "$r2"
    [ ! -s mates.error ] || die data "bad reads" "$(shown_line mates.error)" "Correct the FASTQ files, or fetch them again."
    # The log is kept where the aligner tells of every batch; its end is what says why it failed.
    if [ -n "$broken" ] && [ -s aligner.log ]; then tail -n 5 aligner.log >&2; fi
    # shellcheck disable=SC2086  # a word each
    check_stages "$@" $stages unpack-r1 unpack-r2
    if [ -n "$alone" ]; then
        publish_bam
    else
        samtools quickcheck lane.bam || die tool "lane $lane came out broken" "samtools quickcheck refuses it" "Run the step again."
        publish lane.bam "$RUN/lanes/$lane.bam"
    fi
    finish
}

shown_line() {
    head -n 1 "$1" | tr -c ' -~\n' '?' | cut -c 1-400
}

# check_unpacked PIPE FILE: an unpacker that was hung up on says nothing, or that the pipe broke.
check_unpacked() {
    if [ -s "$1.log" ] && ! grep -qi 'broken pipe' "$1.log"; then
        die data "cannot unpack $2" "$(shown_line "$1.log")" "The file is damaged or cut off: fetch it again."
    fi
}
