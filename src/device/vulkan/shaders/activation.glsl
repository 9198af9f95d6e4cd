// The feed-forward part's activations. Needs the specialisation constant ACTIVATION, and fixed_order.glsl.

float activate(float x) {
  if (ACTIVATION == kActivationSilu) return x / (1 + exp(-x));
  // 0.5 x (1 + tanh(u)) = x * sigmoid(2u); u as in the reference: sqrt(2/pi) (x + 0.044715 x^3).
  const float u = 0.7978845608028654 * add(x, times(0.044715 * x * x, x));
  return x / (1 + exp(-2 * u));
}

float soft_cap(float x, float cap) {
  // tanh by exp, bounded so that it cannot overflow: some drivers' tanh is inaccurate or yields NaN for large arguments.
  const float e = exp(2 * clamp(x / cap, -20.0, 20.0));
  return cap * (e - 1) / (e + 1);
}
