// Which elements of an 8x8 simdgroup_matrix a lane holds: columns c and c + 1 of one row.
METAL_FUNC uint matrix_row(uint lane) { return (lane / 4 & 4) + lane / 2 % 4; }
METAL_FUNC uint matrix_column(uint lane) { return (lane / 4 & 2) * 2 + lane % 2 * 2; }
