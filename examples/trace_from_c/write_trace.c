/* One training step of a two-layer network in plain C99. Writes it as a trace that `parity diff` can
 * judge. docs/trace-format.md describes the format. The machine must be little-endian.
 *
 *     cc -std=c99 -o write_trace write_trace.c -lm && ./write_trace from_c.safetensors
 *
 * x (M, N) -> linear -> tanh (H units) -> linear -> sigmoid -> binary cross entropy, then SGD.
 * -DMISTAKE=1 takes the derivative of tanh at the wrong place, -DMISTAKE=2 omits 1/m.
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>

#ifndef MISTAKE
#define MISTAKE 0
#endif

enum { M = 6, N = 3, H = 4 };
static const double LR = 0.5;

static double x[M][N], y[M][1], W1[H][N], b1[H], W2[1][H], b2[1];                /* given */
static double z1[M][H], a1[M][H], z2[M][1], a2[M][1], loss;                      /* forward */
static double da2[M][1], dz2[M][1], da1[M][H], dW2[1][H], db2[1];                /* backward */
static double dz1[M][H], dW1[H][N], db1[H];
static double new_W1[H][N], new_b1[H], new_W2[1][H], new_b2[1];                  /* update */

/* Every tensor of the file, in the order of computation. */
static const struct {
    const char *name, *shape;
    const void *data;
    size_t bytes;
} TENSORS[] = {
    {"given/x", "6,3", x, sizeof x},         {"given/y", "6,1", y, sizeof y},
    {"given/W1", "4,3", W1, sizeof W1},      {"given/b1", "4", b1, sizeof b1},
    {"given/W2", "1,4", W2, sizeof W2},      {"given/b2", "1", b2, sizeof b2},
    {"made/z1", "6,4", z1, sizeof z1},       {"made/a1", "6,4", a1, sizeof a1},
    {"made/z2", "6,1", z2, sizeof z2},       {"made/a2", "6,1", a2, sizeof a2},
    {"made/loss", "", &loss, sizeof loss},   {"made/da2", "6,1", da2, sizeof da2},
    {"made/dz2", "6,1", dz2, sizeof dz2},    {"made/da1", "6,4", da1, sizeof da1},
    {"made/dW2", "1,4", dW2, sizeof dW2},    {"made/db2", "1", db2, sizeof db2},
    {"made/dz1", "6,4", dz1, sizeof dz1},    {"made/dW1", "4,3", dW1, sizeof dW1},
    {"made/db1", "4", db1, sizeof db1},      {"made/W1", "4,3", new_W1, sizeof new_W1},
    {"made/b1", "4", new_b1, sizeof new_b1}, {"made/W2", "1,4", new_W2, sizeof new_W2},
    {"made/b2", "1", new_b2, sizeof new_b2},
};
enum { COUNT = sizeof TENSORS / sizeof TENSORS[0] };

/* The operations, in the order of computation. The list is JSON inside JSON, so write_header escapes
 * its quotes. */
#define NODE(operation, inputs, outputs, options, layer)                                        \
    "{\"operation\":\"" operation "\",\"inputs\":[" inputs "],\"outputs\":[" outputs             \
    "],\"options\":{" options "},\"layer\":" #layer "}"
static const char NODES[] =
    "[" NODE("linear", "\"x\",\"W1\",\"b1\"", "\"z1\"", "", 1)
    "," NODE("tanh", "\"z1\"", "\"a1\"", "", 1)
    "," NODE("linear", "\"a1\",\"W2\",\"b2\"", "\"z2\"", "", 2)
    "," NODE("sigmoid", "\"z2\"", "\"a2\"", "", 2)
    "," NODE("binary_cross_entropy", "\"a2\",\"y\"", "\"loss\"", "\"reduction\":\"mean\"", 0)
    "," NODE("binary_cross_entropy_backward", "\"a2\",\"y\"", "\"da2\"",
             "\"reduction\":\"mean\"", 0)
    "," NODE("sigmoid_backward", "\"da2\",\"z2\"", "\"dz2\"", "", 2)
    "," NODE("linear_backward", "\"dz2\",\"a1\",\"W2\"", "\"da1\",\"dW2\",\"db2\"", "", 2)
    "," NODE("tanh_backward", "\"da1\",\"z1\"", "\"dz1\"", "", 1)
    "," NODE("linear_backward_parameters", "\"dz1\",\"x\"", "\"dW1\",\"db1\"", "", 1)
    "," NODE("sgd", "\"W1\",\"dW1\"", "\"W1\"", "\"lr\":0.5", 1)
    "," NODE("sgd", "\"b1\",\"db1\"", "\"b1\"", "\"lr\":0.5", 1)
    "," NODE("sgd", "\"W2\",\"dW2\"", "\"W2\"", "\"lr\":0.5", 2)
    "," NODE("sgd", "\"b2\",\"db2\"", "\"b2\"", "\"lr\":0.5", 2) "]";

/* Random numbers in [-1, 1) that a program in any language can reproduce. */
static uint64_t state = 2024;

static double draw(void) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (double)(state >> 11) / 4503599627370496.0 - 1.0;
}

static void fill(double *numbers, size_t bytes) {
    for (size_t i = 0; i < bytes / sizeof(double); i++) numbers[i] = draw();
}

static void begin(void) {
    fill(x[0], sizeof x);
    fill(y[0], sizeof y);
    for (int i = 0; i < M; i++) y[i][0] = y[i][0] > 0;
    fill(W1[0], sizeof W1);
    fill(b1, sizeof b1);
    fill(W2[0], sizeof W2);
    fill(b2, sizeof b2);
}

static void forward(void) {
    for (int i = 0; i < M; i++) {
        z2[i][0] = b2[0];
        for (int j = 0; j < H; j++) {
            z1[i][j] = b1[j];
            for (int k = 0; k < N; k++) z1[i][j] += x[i][k] * W1[j][k];
            a1[i][j] = tanh(z1[i][j]);
            z2[i][0] += a1[i][j] * W2[0][j];
        }
        double a = a2[i][0] = 1 / (1 + exp(-z2[i][0]));
        loss -= (y[i][0] * log(a) + (1 - y[i][0]) * log(1 - a)) / M;
    }
}

static void backward(void) {
    for (int i = 0; i < M; i++) {
        double a = a2[i][0];
        da2[i][0] = (a - y[i][0]) / (a * (1 - a)) / (MISTAKE == 2 ? 1 : M);
        dz2[i][0] = da2[i][0] * a * (1 - a);
        db2[0] += dz2[i][0];
        for (int j = 0; j < H; j++) {
            double at = MISTAKE == 1 ? z1[i][j] : a1[i][j];
            da1[i][j] = dz2[i][0] * W2[0][j];
            dW2[0][j] += dz2[i][0] * a1[i][j];
            dz1[i][j] = da1[i][j] * (1 - at * at);
            db1[j] += dz1[i][j];
            for (int k = 0; k < N; k++) dW1[j][k] += dz1[i][j] * x[i][k];
        }
    }
}

static void update(void) {
    new_b2[0] = b2[0] - LR * db2[0];
    for (int j = 0; j < H; j++) {
        new_W2[0][j] = W2[0][j] - LR * dW2[0][j];
        new_b1[j] = b1[j] - LR * db1[j];
        for (int k = 0; k < N; k++) new_W1[j][k] = W1[j][k] - LR * dW1[j][k];
    }
}

/* Writes the JSON header: type, shape and position of each tensor. Returns its length. */
static size_t write_header(char *to) {
    char *p = to;
    size_t end = 0;
    p += sprintf(p, "{\"__metadata__\":{\"format\":\"torch-parity trace\",\"version\":\"1\",");
    p += sprintf(p, "\"nodes\":\"");
    for (const char *c = NODES; *c; c++) p += sprintf(p, *c == '"' ? "\\%c" : "%c", *c);
    p += sprintf(p, "\"}");
    for (int i = 0; i < COUNT; i++) {
        size_t start = end;
        end += TENSORS[i].bytes;
        p += sprintf(p, ",\"%s\":{\"dtype\":\"F64\",\"shape\":[%s],\"data_offsets\":[%lu,%lu]}",
                     TENSORS[i].name, TENSORS[i].shape, (unsigned long)start, (unsigned long)end);
    }
    p += sprintf(p, "}");
    return (size_t)(p - to);
}

int main(int argc, char **argv) {
    static char header[16384];
    FILE *file = argc == 2 ? fopen(argv[1], "wb") : NULL;
    if (!file) {
        fprintf(stderr, "usage: write_trace FILE (a file that can be written)\n");
        return 2;
    }
    begin();
    forward();
    backward();
    update();
    uint64_t length = write_header(header);
    fwrite(&length, sizeof length, 1, file);
    fwrite(header, 1, length, file);
    for (int i = 0; i < COUNT; i++) fwrite(TENSORS[i].data, 1, TENSORS[i].bytes, file);
    if (fclose(file)) {
        fprintf(stderr, "write_trace: cannot write %s\n", argv[1]);
        return 1;
    }
    return 0;
}
