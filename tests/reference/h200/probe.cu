// What an H200 computes: mma.sync m16n8k16 and m16n8k8 with fp16 accumulators, and activations under --use_fast_math.
// Made mma.npz and activations.npz (see README.md). SPDX-License-Identifier: Apache-2.0
//
//   nvcc -O3 -arch=sm_90 --use_fast_math -o probe probe.cu
//   probe mma 16|8 A.bin B.bin C.bin D.bin     row-major tiles: A (16, K), B (8, K), C and D (16, 8), all fp16
//   probe activation 0..8 OUT.bin              outputs for all 65,536 fp16 inputs, in order of their bits

#include <cuda_fp16.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

__device__ uint32_t word(const char* p) { return *reinterpret_cast<const uint32_t*>(p); }

// One warp a tile. Lane l holds columns 2 (l % 4), +1 of rows l / 4 and l / 4 + 8.
template <int K>
__global__ void multiply(const char* a, const char* b, const char* c, char* d) {
    const uint32_t row = threadIdx.x / 4, column = threadIdx.x % 4 * 4, tile = blockIdx.x;
    a += tile * 16 * K * 2 + row * K * 2 + column;
    b += tile * 8 * K * 2 + row * K * 2 + column;
    c += tile * 256 + row * 16 + column;
    d += tile * 256 + row * 16 + column;
    uint32_t d0, d1;
    if (K == 16) {
        asm volatile("mma.sync.aligned.m16n8k16.row.col.f16.f16.f16.f16 {%0,%1},{%2,%3,%4,%5},{%6,%7},{%8,%9};"
            : "=r"(d0), "=r"(d1)
            : "r"(word(a)), "r"(word(a + 256)), "r"(word(a + 16)), "r"(word(a + 272)),
              "r"(word(b)), "r"(word(b + 16)), "r"(word(c)), "r"(word(c + 128)));
    } else {
        asm volatile("mma.sync.aligned.m16n8k8.row.col.f16.f16.f16.f16 {%0,%1},{%2,%3},{%4},{%5,%6};"
            : "=r"(d0), "=r"(d1)
            : "r"(word(a)), "r"(word(a + 128)), "r"(word(b)), "r"(word(c)), "r"(word(c + 128)));
    }
    *reinterpret_cast<uint32_t*>(d) = d0;
    *reinterpret_cast<uint32_t*>(d + 128) = d1;
}

__global__ void activate(int which, __half* out) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    const __half h = __ushort_as_half(i);
    const float x = h, sharp = x * 10.0f;
    switch (which) {
        case 0: out[i] = x / (1.0f + expf(-x)); break;                                    // SiLU
        case 1: out[i] = expf(x); break;                                                  // Exponential
        case 2: out[i] = sinf(x); break;                                                  // Sine
        case 3: out[i] = 1.0f / (1.0f + expf(-x)); break;                                 // Sigmoid
        case 4: out[i] = 0.5f * (sharp + sqrtf(sharp * sharp + 4.0f)) / 10.0f; break;     // Squareplus
        case 5: out[i] = logf(expf(sharp) + 1.0f) / 10.0f; break;                         // Softplus
        case 6: out[i] = tanhf(x); break;                                                 // Tanh
        case 7: out[i] = __hmax(h, __half(0.0f)); break;                                  // ReLU
        case 8: out[i] = h * __half(h > __half(0.0f) ? 1.0f : 0.01f); break;              // LeakyReLU
    }
}

static std::vector<char> read(const char* path) {
    FILE* file = fopen(path, "rb");
    if (!file) { fprintf(stderr, "%s must be a readable file\n", path); exit(2); }
    std::vector<char> bytes;
    for (int c; (c = fgetc(file)) != EOF;) bytes.push_back(char(c));
    fclose(file);
    return bytes;
}

static char* upload(const std::vector<char>& bytes) {
    char* device = nullptr;
    cudaMalloc(&device, bytes.size());
    cudaMemcpy(device, bytes.data(), bytes.size(), cudaMemcpyHostToDevice);
    return device;
}

static int download(const char* path, const char* device, size_t size) {
    std::vector<char> bytes(size);
    cudaMemcpy(bytes.data(), device, size, cudaMemcpyDeviceToHost);
    FILE* file = fopen(path, "wb");
    if (!file || fwrite(bytes.data(), 1, size, file) != size || fclose(file)) return 2;
    const cudaError_t error = cudaGetLastError();
    if (error != cudaSuccess) fprintf(stderr, "%s\n", cudaGetErrorString(error));
    return error == cudaSuccess ? 0 : 1;
}

int main(int argc, char** argv) {
    if (argc == 7 && !strcmp(argv[1], "mma")) {
        const std::vector<char> c = read(argv[5]);
        char *a = upload(read(argv[3])), *b = upload(read(argv[4])), *start = upload(c), *d = upload(c);
        const unsigned tiles = unsigned(c.size() / 256);
        if (atoi(argv[2]) == 16) multiply<16><<<tiles, 32>>>(a, b, start, d);
        else multiply<8><<<tiles, 32>>>(a, b, start, d);
        return download(argv[6], d, c.size());
    }
    if (argc == 4 && !strcmp(argv[1], "activation")) {
        char* out = upload(std::vector<char>(131072));
        activate<<<256, 256>>>(atoi(argv[2]), reinterpret_cast<__half*>(out));
        return download(argv[3], out, 131072);
    }
    fprintf(stderr, "usage: probe mma 16|8 A B C D | activation 0..8 OUT\n");
    return 2;
}
