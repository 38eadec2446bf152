# The commands of the bwa image; see README.md. Sourced by `step` after step.sh.
# shellcheck shell=dash
# shellcheck disable=SC2034  # read by step.sh
step_commands='index mem'

# step index REFERENCE: prepares a reference once: the FASTA with its sequence index and BWA's, below
# /scratch/working/WORKFLOW/reference, where every step finds it. /scratch/reference stays read-only.
do_index() {
    reference=${1:-}
    [ $# -le 1 ] || { shift && no_more "$@"; }
    need_variable WORKFLOW_NAME "${WORKFLOW_NAME:-}"
    need_path reference "$reference"
    check_scratch reference working
    RUN=$SCRATCH_ROOT/working/$WORKFLOW_NAME/reference
    input "$SCRATCH_ROOT/reference/$reference"
    begin "index.$(printf '%s' "$reference" | tr / _)" step index "$reference"

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
    stage bwa bwa index "$name" &
    wait $! || true
    check_stages bwa

    # The files that tell a reader that the index is there come last.
    for suffix in .ann .amb .pac .sa .gzi .fai '' .bwt; do
        [ ! -e "$name$suffix" ] || publish "$name$suffix" "$RUN/$reference$suffix"
    done
    finish
}

is_gzip() {
    [ "$(od -An -v -tx1 -N2 "$1" | tr -d ' \n')" = 1f8b ]
}

unpack() {
    if is_gzip "$1"; then gunzip -c "$1"; else cat "$1"; fi
}

# read_into PIPE FILE: one FASTQ file, unpacked into a named pipe.
read_into() {
    if is_gzip "$2"; then set -- "$1" gunzip -c "$2"; else set -- "$1" cat "$2"; fi
    pipe=$1
    shift
    stage "unpack-$pipe" "$@" > "$pipe" 2> "$pipe.log"
}

# FLOWCELL.LANE as Illumina's read names give them (@INSTRUMENT:RUN:FLOWCELL:LANE:...), or the lane's name.
platform_unit() {
    { unpack "$1" 2>/dev/null || true; } | head -n 1 |
        awk -F: -v lane="$2" '{ print (NF >= 7 && $3 ~ /^[A-Za-z0-9-]+$/ && $4 ~ /^[0-9]+$/) ? $3 "." $4 : lane }'
}

# step mem REFERENCE SAMPLE LANE R1 R2 [LIBRARY [PLATFORM-UNIT]]: one lane's FASTQ pair, aligned, with mate
# tags for duplicate marking, sorted, as lanes/LANE.bam. R1 and R2 are paths below /scratch/data.
do_mem() {
    reference=${1:-} sample=${2:-} lane=${3:-} r1=${4:-} r2=${5:-} library=${6:--} unit=${7:--}
    [ $# -le 7 ] || { shift 7 && no_more "$@"; }
    enter "$reference" "$sample"
    need_name lane "$lane" 64
    need_path R1 "$r1"
    need_path R2 "$r2"
    if given "$library"; then need_name library "$library" 64; else library=$sample; fi
    if given "$unit"; then need_name "platform unit" "$unit" 64; fi
    [ "$r1" != "$r2" ] || die usage "R1 and R2 are the same file" "both are '$r1'" "Name the lane's two files."
    r1_path=$SCRATCH_ROOT/data/$r1 r2_path=$SCRATCH_ROOT/data/$r2
    input "$r1_path" "$r2_path"
    # shellcheck disable=SC3013  # busybox test has -ef
    [ ! "$r1_path" -ef "$r2_path" ] || die usage "R1 and R2 are the same file" "'$r1' links to '$r2'" "Name the lane's two files."
    find_reference "$reference" '.bwt .64.bwt'
    index=$FASTA
    [ -e "$FASTA.bwt" ] || index=$FASTA.64
    input "$FASTA" "$index.bwt" "$index.sa" "$index.pac" "$index.ann" "$index.amb"
    begin "mem.$lane" step mem "$reference" "$sample" "$lane" "$r1" "$r2" "$library" "$unit"

    for file in "$r1_path" "$r2_path"; do
        [ -s "$file" ] || die data "no reads in $(basename "$file")" "the file is empty" "Fetch it again."
    done
    given "$unit" || unit=$(platform_unit "$r1_path" "$lane")
    group="@RG\\tID:$sample.$lane\\tSM:$sample\\tLB:$library\\tPL:ILLUMINA\\tPU:$unit"
    index_mib=$(($(stat -L -c %s "$index.bwt") / 1048576 + $(stat -L -c %s "$index.sa") / 1048576 + $(stat -L -c %s "$index.pac") / 1048576))
    [ "$MEMORY" -gt "$index_mib" ] || die usage "too little memory" \
        "the index of $reference takes $index_mib MiB and this job has $MEMORY" "Raise the job's memory."
    # Half of what the index leaves is for sorting; the rest is for BWA's batches and the pipes.
    sort_mib=$(((MEMORY - index_mib) / 2 / THREADS))
    [ "$sort_mib" -ge 32 ] || sort_mib=32
    [ "$sort_mib" -le 2048 ] || sort_mib=2048

    # -K fixes how many bases BWA takes at a time, and so the insert sizes that it learns from them: the
    # result is that of one thread, whatever their number. Small batches also let reading, aligning and sorting
    # overlap from the first second.
    mkfifo r1 r2
    read_into r1 "$r1_path" &
    read_into r2 "$r2_path" &
    stage mates mawk -v R1=r1 -v R2=r2 -v NAME1="$r1" -v NAME2="$r2" -v ERROR=mates.error \
        -f /usr/local/lib/step/mates.awk |
        stage bwa bwa mem -t "$THREADS" -K 10000000 -p -R "$group" "$FASTA" - |
        stage fixmate samtools fixmate -m -u - - |
        stage sort samtools sort -@ "$((THREADS - 1))" -m "${sort_mib}M" -l 1 -T sort - |
        digested lane.bam &
    wait $! || broken=yes
    wait

    # What could not be unpacked also looks short to what reads it: the first cause is the one to name.
    check_unpacked r1 "$r1"
    check_unpacked r2 "$r2"
    [ ! -s mates.error ] || die data "bad reads" "$(shown_line mates.error)" "Correct the FASTQ files, or fetch them again."
    check_stages mates bwa fixmate sort unpack-r1 unpack-r2
    samtools quickcheck lane.bam || die tool "lane $lane came out broken" "samtools quickcheck refuses it" "Run the step again."
    publish lane.bam "$RUN/lanes/$lane.bam"
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
