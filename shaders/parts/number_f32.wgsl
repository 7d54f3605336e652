// The numbers that are computed with.
alias Number = f32;
alias Numbers = vec4<f32>;
