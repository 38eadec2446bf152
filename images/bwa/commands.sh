# The commands of the bwa image; see README.md. Sourced by `step` after step.sh.
# shellcheck shell=dash
# shellcheck disable=SC2034  # read by step.sh
step_commands='index mem'
# shellcheck source=images/base/align.sh
. /usr/local/lib/step/align.sh

# step index REFERENCE: prepares a reference once; see prepare_reference.
do_index() {
    index_reference=${1:-}
    [ $# -le 1 ] || { shift && no_more "$@"; }
    prepare_reference index bwa 1 '.ann .amb .pac .sa .gzi .fai FASTA .bwt' "$index_reference" bwa index
}

# step mem REFERENCE SAMPLE LANE R1 R2 [LIBRARY [PLATFORM-UNIT]]: one lane's FASTQ pair, aligned, with mate
# tags for duplicate marking, sorted, as lanes/LANE.bam. R1 and R2 are paths below /scratch/data.
do_mem() {
    take_lane "$@"
    find_reference "$reference" '.bwt .64.bwt' bwa
    index=$FASTA
    [ -e "$FASTA.bwt" ] || index=$FASTA.64
    input "$FASTA" "$index.bwt" "$index.sa" "$index.pac" "$index.ann" "$index.amb"
    begin_lane
    share_memory $(($(mib_of "$index.bwt") + $(mib_of "$index.sa") + $(mib_of "$index.pac")))

    # -K fixes how many bases BWA takes at a time, and so the insert sizes that it learns from them: the
    # result is that of one thread, whatever their number. Small batches also let reading, aligning and sorting
    # overlap from the first second.
    read_lane gunzip -c
    stage mates mawk -v R1=r1 -v R2=r2 -v NAME1="$r1" -v NAME2="$r2" -v ERROR=mates.error \
        -f /usr/local/lib/step/mates.awk |
        stage bwa bwa mem -t "$THREADS" -K 10000000 -p -R "$group" "$FASTA" - |
        sorted &
    finish_lane mates bwa
}
