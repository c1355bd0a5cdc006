// Kernels for inference on CPUs: float32, channels last.
//
// Both are products of a few rows with weights that were packed once, in
// panels of PANEL output channels, of which registers hold ROWS x PANEL:
//
//   aggregate   the 1x1 conv of One-Shot Aggregation, which reads the outputs
//               of a module's layers where they are: nothing is concatenated;
//   winograd    3x3 convs by F(4x4, 3x3) of arXiv 1509.09308, section 4.3:
//               36 multiplications for 16 outputs, where 144 were.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <algorithm>
#include <vector>

namespace {

#ifdef __AVX512F__
constexpr int LANES = 16, ROWS = 12;  // 24 of 32 registers are sums
#else
constexpr int LANES = 8, ROWS = 6;  // 12 of 16
#endif
constexpr int PANEL = 2 * LANES;

constexpr auto LAST = at::MemoryFormat::ChannelsLast;

typedef float Vec __attribute__((vector_size(4 * LANES), aligned(4)));

inline Vec load(const float* p) { return *(const Vec*)p; }
inline void store(float* p, Vec v) { *(Vec*)p = v; }
inline Vec relu(Vec v) { return v < 0 ? Vec{} : v; }  // keeps NaN

int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

// The size of blocks, at most `most`, of which each thread gets as many.
int64_t share(int64_t work, int64_t most) {
  const int64_t threads = at::get_num_threads();
  return divide_up(work, divide_up(work, most * threads) * threads);
}

using Sums = Vec[ROWS][2];

// sums[r] += sum over c of a[r][c] * w[c], for R rows.
template <int R>
inline void multiply(const float* a, int64_t stride, const float* w,
                     int64_t channels, Sums& sums) {
  Vec s[R][2];  // a copy that stays in registers
  for (int r = 0; r < R; ++r) s[r][0] = sums[r][0], s[r][1] = sums[r][1];
  for (int64_t c = 0; c < channels; ++c, w += PANEL) {
    const Vec w0 = load(w), w1 = load(w + LANES);
    for (int r = 0; r < R; ++r) {
      const float x = a[r * stride + c];
      s[r][0] += x * w0;
      s[r][1] += x * w1;
    }
  }
  for (int r = 0; r < R; ++r) sums[r][0] = s[r][0], sums[r][1] = s[r][1];
}

template <int R = ROWS>
inline void multiply(int rows, const float* a, int64_t stride, const float* w,
                     int64_t channels, Sums& sums) {
  if constexpr (R > 1)
    if (rows < R)
      return multiply<R - 1>(rows, a, stride, w, channels, sums);
  multiply<R>(a, stride, w, channels, sums);
}

// What is read without looking must be what it is taken for.
void check(const at::Tensor& x, const at::Tensor& weight,
           const at::Tensor& bias, int64_t products, int64_t channels) {
  for (const auto* t : {&x, &weight, &bias})
    TORCH_CHECK(t->device().is_cpu() && t->scalar_type() == at::kFloat,
                "expected float32 on the CPU, got ", t->scalar_type(), " on ",
                t->device());
  TORCH_CHECK(weight.is_contiguous() && bias.is_contiguous(),
              "expected a contiguous weight and bias");
  TORCH_CHECK(bias.dim() == 1 && bias.size(0) % LANES == 0,
              "expected a bias of a multiple of ", LANES, " values, got ",
              bias.sizes());
  const int64_t panels = divide_up(bias.size(0), PANEL);
  const std::vector<int64_t> sizes{products * panels, channels, PANEL};
  TORCH_CHECK(weight.sizes() == at::IntArrayRef(sizes),
              "expected a weight of ", at::IntArrayRef(sizes), " for ",
              channels, " input and ", bias.size(0),
              " output channels, got ", weight.sizes());
}

at::Tensor aggregate(at::TensorList inputs, const at::Tensor& weight,
                     const at::Tensor& bias, bool activate) {
  TORCH_CHECK(!inputs.empty(), "expected at least one map");
  int64_t channels = 0;
  for (const auto& x : inputs) {
    TORCH_CHECK(x.dim() == 4 && x.size(0) == inputs[0].size(0) &&
                    x.size(2) == inputs[0].size(2) &&
                    x.size(3) == inputs[0].size(3),
                "expected maps that differ in channels alone, got ",
                inputs[0].sizes(), " and ", x.sizes());
    channels += x.size(1);
  }
  for (const auto& x : inputs) check(x, weight, bias, 1, channels);
  std::vector<at::Tensor> xs;
  for (const auto& input : inputs) xs.push_back(input.contiguous(LAST));
  const int64_t n = xs[0].size(0), height = xs[0].size(2),
                width = xs[0].size(3), outs = bias.size(0);
  auto y = at::empty({n, outs, height, width}, xs[0].options(), LAST);
  if (y.numel() == 0) return y;
  const float* b = bias.const_data_ptr<float>();
  float* out = y.mutable_data_ptr<float>();

  auto run = [&](int64_t begin, int64_t end, int64_t panel) {
    for (int64_t pixel = begin; pixel < end; pixel += ROWS) {
      const int rows = std::min<int64_t>(ROWS, end - pixel);
      Sums sums = {};
      const float* w =
          weight.const_data_ptr<float>() + panel * weight.size(1) * PANEL;
      for (const auto& x : xs) {
        const int64_t channels = x.size(1);
        multiply(rows, x.const_data_ptr<float>() + pixel * channels, channels,
                 w, channels, sums);
        w += channels * PANEL;
      }
      for (int r = 0; r < rows; ++r)
        for (int64_t i = 0; i < 2; ++i) {
          const int64_t c = panel * PANEL + i * LANES;
          if (c == outs) break;
          const Vec v = sums[r][i] + load(b + c);
          store(out + (pixel + r) * outs + c, activate ? relu(v) : v);
        }
    }
  };
  // Blocks of pixels that stay in the cache while the panels pass by; of a
  // small map, panels, each of which is then read once.
  const int64_t pixels = n * height * width, panels = weight.size(0);
  const int64_t size = share(pixels, 8 * ROWS), blocks = divide_up(pixels, size);
  if (blocks < 8)
    at::parallel_for(0, panels, 1, [&](int64_t begin, int64_t end) {
      for (int64_t p = begin; p < end; ++p) run(0, pixels, p);
    });
  else
    at::parallel_for(0, blocks, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i)
        for (int64_t p = 0; p < panels; ++p)
          run(i * size, std::min(pixels, (i + 1) * size), p);
    });
  return y;
}

// B^T d of the paper; d and the result are s apart.
inline void transform(const Vec* d, Vec* v, int s) {
  const Vec d0 = d[0], d1 = d[s], d2 = d[2 * s], d3 = d[3 * s], d4 = d[4 * s],
            d5 = d[5 * s];
  const Vec even = d4 - 4 * d2, odd = d3 - 4 * d1;
  const Vec near = d4 - d2, far = 2 * (d3 - d1);
  v[0] = 4 * d0 - 5 * d2 + d4;
  v[s] = even + odd;
  v[2 * s] = even - odd;
  v[3 * s] = near + far;
  v[4 * s] = near - far;
  v[5 * s] = 4 * d1 - 5 * d3 + d5;
}

// A^T m of the paper.
inline void inverse(const Vec* m, Vec* y, int s) {
  const Vec a = m[s] + m[2 * s], b = m[s] - m[2 * s];
  const Vec c = m[3 * s] + m[4 * s], d = m[3 * s] - m[4 * s];
  y[0] = m[0] + a + c;
  y[s] = b + 2 * d;
  y[2 * s] = a + 4 * c;
  y[3 * s] = b + 8 * d + m[5 * s];
}

at::Tensor winograd(const at::Tensor& input, const at::Tensor& weight,
                    const at::Tensor& bias, bool activate) {
  TORCH_CHECK(input.dim() == 4 && input.size(1) % LANES == 0,
              "expected a map of shape (N, C, H, W), C a multiple of ", LANES,
              ", got ", input.sizes());
  check(input, weight, bias, 36, input.size(1));
  const auto x = input.contiguous(LAST);
  const int64_t n = x.size(0), ins = x.size(1), height = x.size(2),
                width = x.size(3), outs = bias.size(0);
  auto y = at::empty({n, outs, height, width}, x.options(), LAST);
  if (y.numel() == 0) return y;
  const float* in = x.const_data_ptr<float>();
  const float* w = weight.const_data_ptr<float>();
  const float* b = bias.const_data_ptr<float>();
  float* out = y.mutable_data_ptr<float>();

  const int64_t across = divide_up(width, 4), down = divide_up(height, 4);
  const int64_t tiles = n * down * across;
  const int64_t panels = weight.size(0) / 36, wide = panels * PANEL;
  const int64_t size = share(tiles, 4 * ROWS);

  at::parallel_for(0, divide_up(tiles, size), 1, [&](int64_t i, int64_t end) {
    std::vector<float> values(36 * size * ins), products(36 * size * wide);
    for (; i < end; ++i) {
      const int64_t first = i * size, count = std::min(size, tiles - first);
      for (int64_t t = 0; t < count; ++t) {
        const int64_t tile = first + t, image = tile / (down * across);
        const int64_t top = tile / across % down * 4 - 1;
        const int64_t left = tile % across * 4 - 1;
        for (int64_t c = 0; c < ins; c += LANES) {
          Vec d[36], v[36];
          for (int64_t k = 0; k < 36; ++k) {
            const int64_t row = top + k / 6, column = left + k % 6;
            const bool inside =
                row >= 0 && row < height && column >= 0 && column < width;
            const int64_t pixel = (image * height + row) * width + column;
            d[k] = inside ? load(in + pixel * ins + c) : Vec{};
          }
          for (int k = 0; k < 6; ++k) transform(d + k, v + k, 6);
          for (int k = 0; k < 6; ++k) transform(v + 6 * k, d + 6 * k, 1);
          for (int64_t k = 0; k < 36; ++k)
            store(&values[(k * size + t) * ins + c], d[k]);
        }
      }
      for (int64_t k = 0; k < 36; ++k)
        for (int64_t p = 0; p < panels; ++p)
          for (int64_t t = 0; t < count; t += ROWS) {
            const int rows = std::min<int64_t>(ROWS, count - t);
            Sums sums = {};
            multiply(rows, &values[(k * size + t) * ins], ins,
                     w + (k * panels + p) * ins * PANEL, ins, sums);
            float* m = &products[(k * size + t) * wide + p * PANEL];
            for (int r = 0; r < rows; ++r, m += wide)
              store(m, sums[r][0]), store(m + LANES, sums[r][1]);
          }
      for (int64_t t = 0; t < count; ++t) {
        const int64_t tile = first + t, image = tile / (down * across);
        const int64_t top = tile / across % down * 4;
        const int64_t left = tile % across * 4;
        for (int64_t c = 0; c < outs; c += LANES) {
          Vec m[36], z[24], v[16];
          for (int64_t k = 0; k < 36; ++k)
            m[k] = load(&products[(k * size + t) * wide + c]);
          for (int k = 0; k < 6; ++k) inverse(m + k, z + k, 6);
          for (int k = 0; k < 4; ++k) inverse(z + 6 * k, v + 4 * k, 1);
          for (int64_t k = 0; k < 16; ++k) {
            const int64_t row = top + k / 4, column = left + k % 4;
            if (row >= height || column >= width) continue;
            const int64_t pixel = (image * height + row) * width + column;
            const Vec r = v[k] + load(b + c);
            store(out + pixel * outs + c, activate ? relu(r) : r);
          }
        }
      }
    }
  });
  return y;
}

}  // namespace

TORCH_LIBRARY(mmvovnet, m) {
  m.def("panel() -> int", []() -> int64_t { return PANEL; });
  m.def(
      "aggregate(Tensor[] inputs, Tensor weight, Tensor bias, bool activate)"
      " -> Tensor");
  m.def(
      "winograd(Tensor input, Tensor weight, Tensor bias, bool activate)"
      " -> Tensor");
}

TORCH_LIBRARY_IMPL(mmvovnet, CPU, m) {
  m.impl("aggregate", aggregate);
  m.impl("winograd", winograd);
}
