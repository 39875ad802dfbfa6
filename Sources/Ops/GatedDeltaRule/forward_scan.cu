// The kernel of the pass forwards.

// Outputs, solved values (where given) and final states. Grid: segments × value heads × value tiles.
KERNEL(gated_delta_rule_forward_scan)
(element *out, element *solved, float *final_state, const element *q, const element *k, const element *v,
 const element *inverse, const element *scores, const float *gates, const float *starts, const Chunk *chunks,
 const Segment *segments, int value_heads, float scale) {
    Place at = find_place(segments, value_heads);
    if (at.segment.place < 0) return;
    ScanInputs in = {q, k, v, inverse, scores, gates, chunks, value_heads, at.head, at.tile * VALUE_TILE};
    int column = in.column + first_column();
    State s;
    load_state(s, starts ? starts + at.own : nullptr, column);
    forward_pass<true>(s, in, at.segment.begin, at.segment.end, out, solved, column, scale);
    if (final_state && at.segment.place & LAST_SEGMENT) store_state(s, final_state + at.of_sequence, column);
}
