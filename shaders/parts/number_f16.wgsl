// The numbers that are computed with.
alias Number = f16;
alias Numbers = vec4<f16>;
