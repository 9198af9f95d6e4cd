// The feed-forward part's activations. Needs the specialisation constant ACTIVATION, and fixed_order.glsl.

const uint FUNCTION = ACTIVATION & (kActivationBias - 1);
const bool HAS_BIAS = (ACTIVATION & kActivationBias) != 0;

/// x Phi(x), as the CPU's kernels compute it (device/cpu/kernels/vector_math.h).
float gelu(float x) {
  const float z = abs(x) * 0.7071067811865476;
  const float t = 1 / add(1, times(0.5, z));
  const float c[10] = float[10](0.138559341, -0.645911336, 1.0739913, -0.585266888, -0.172871485, 0.0509365611,
                                0.0175261684, 0.39025715, 0.9982059, -1.26542664);
  float p = c[0];
  [[unroll]] for (uint i = 1; i < 10; ++i) p = add(times(p, t), c[i]);
  const float tail = times(0.5 * t, exp(add(p, -times(z, z))));
  return x < 0 ? times(x, tail) : times(x, add(1, -tail));
}

float activate(float x) {
  if (FUNCTION == kActivationSilu) return x / (1 + exp(-x));
  if (FUNCTION == kActivationSigmoid) return 1 / (1 + exp(-x));
  if (FUNCTION == kActivationQuickGelu) return x / (1 + exp(-1.702 * x));
  if (FUNCTION == kActivationGelu) return gelu(x);
  if (FUNCTION == kActivationRelu) return x < 0 ? 0 : x;
  if (FUNCTION == kActivationReluSquared) return x < 0 ? 0 : x * x;
  // 0.5 x (1 + tanh(u)) = x * sigmoid(2u); u as in the reference: sqrt(2/pi) (x + 0.044715 x^3).
  const float u = 0.7978845608028654 * add(x, times(0.044715 * x * x, x));
  return x / (1 + exp(-2 * u));
}

float soft_cap(float x, float cap) {
  // tanh by exp, bounded so that it cannot overflow: some drivers' tanh is inaccurate or yields NaN for large arguments.
  const float e = exp(2 * clamp(x / cap, -20.0, 20.0));
  return cap * (e - 1) / (e + 1);
}
