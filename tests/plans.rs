//! Random plans: the software GPU against the CPU device, and fused against unfused.
