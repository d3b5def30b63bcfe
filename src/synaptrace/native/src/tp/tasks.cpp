// The tasks of every phase, compiled once for each instruction set (LEVEL) and for both types.
#include "gradient.hpp"
#include "outer.hpp"
#include "step.hpp"

namespace {

// Calls each(slab, learns) for all matrices of a network and its label.
template <class T, class F>
INLINE void for_each_slab(const Work<T> &w, F each) {
    for (idx l = 0; l < w.layers; ++l) {
        each(w.part[l].in);
        each(w.part[l].recurrent);
    }
    each(w.label);
    each(w.label_recurrent);
    each(w.readout);
    if (w.learn) each(w.readout_grad);
}

// PyTorch's layout to the working one (`in`), or back, for rows first … first + n − 1.
template <class T>
void copy_rows(const Slab<T> &slab, void *outside, T *inside, idx first, idx n, bool in) {
    T *own = inside + first * slab.width, *other = static_cast<T *>(outside);
    if (slab.transposed && in)
        transpose(other + first, slab.rows, own, slab.width, slab.cols, n);
    else if (slab.transposed)
        transpose(own, slab.width, other + first, slab.rows, n, slab.cols);
    else
        for (idx i = 0; i < n; ++i) {
            T *there = other + (first + i) * slab.cols, *here = own + i * slab.width;
            std::memcpy(in ? here : there, in ? there : here, slab.cols * sizeof(T));
        }
}

template <class T>
void pack(const Slab<T> &slab, idx first) {
    const idx n = std::min(PACK_ROWS, slab.rows - first);
    const Matrix &from = *slab.from;
    copy_rows(slab, from.weight, slab.w, first, n, true);
    if (slab.g && from.has_grad)
        copy_rows(slab, from.grad, slab.g, first, n, true);
    else if (slab.g)
        std::memset(slab.g + first * slab.width, 0, n * slab.width * sizeof(T));
    if (!slab.m) return;
    copy_rows(slab, from.mean, slab.m, first, n, true);
    copy_rows(slab, from.square, slab.v, first, n, true);
}

// The weights that an update from outside has left, and gradients from zero on.
template <class T>
void repack(const Slab<T> &slab, idx first) {
    const idx n = std::min(PACK_ROWS, slab.rows - first);
    copy_rows(slab, slab.from->weight, slab.w, first, n, true);
    if (slab.g) std::memset(slab.g + first * slab.width, 0, n * slab.width * sizeof(T));
}

template <class T>
void unpack(const Slab<T> &slab, idx first) {
    const idx n = std::min(PACK_ROWS, slab.rows - first);
    const Matrix &from = *slab.from;
    if (slab.g) copy_rows(slab, from.grad, slab.g, first, n, false);
    if (!slab.m) return;
    copy_rows(slab, from.weight, slab.w, first, n, false);
    copy_rows(slab, from.mean, slab.m, first, n, false);
    copy_rows(slab, from.square, slab.v, first, n, false);
}

// Rest: a tile of either stream before the first step.
template <class T>
void rest(const Work<T> &w, Tile tile, bool target) {
    for (idx l = 0; l < w.layers; ++l) {
        const Part<T> &part = w.part[l];
        const size_t bytes = tile.n * part.width * sizeof(T);
        std::memset(part.u + tile.first * part.width, 0, bytes);
        std::memset(part.count + tile.first, 0, tile.n * sizeof(int32_t));
        if (!w.learn) continue;
        std::memset(w.trace(l, -1, tile.first), 0, bytes);
        const Bits &bits = target ? part.targets : part.samples;
        if (bits.p) std::memset(bits.at(tile.index, w.slot(-1)), 0, bits.neurons);
    }
    if (target) return;
    std::memset(w.logits + tile.first * w.classes_width, 0, tile.n * w.classes_width * sizeof(T));
    for (idx b = tile.first; b < tile.first + tile.n; ++b)
        w.ends[b] = w.job->lengths ? std::min(w.job->lengths[b], w.job->steps) : w.job->steps;
    for (idx l = 0; l <= w.layers; ++l) w.losses[tile.index * (w.layers + 1) + l] = 0;
    for (idx l = 0; l < w.layers; ++l) {
        w.rates[tile.index * w.layers + l] = 0;
        w.spikes[tile.index * w.layers + l] = 0;
    }
}

constexpr idx pieces(idx n, idx size) { return (n + size - 1) / size; }

template <class T>
idx pack_tasks(const Work<T> &w) {
    idx n = w.tiles + (w.learn ? w.class_tiles : 0);
    for_each_slab(w, [&](const Slab<T> &slab) { n += slab.w ? pieces(slab.rows, PACK_ROWS) : 0; });
    return n;
}

template <class T>
void pack_task(const Work<T> &w, idx index, Phase phase) {
    const idx classes = w.learn ? w.class_tiles : 0;
    if (index < w.tiles + classes) {
        if (phase != PACK) return;
        const bool target = index >= w.tiles;
        return rest(w, target ? class_tile(w, index - w.tiles) : sample_tile(w, index), target);
    }
    index -= w.tiles + classes;
    for_each_slab(w, [&](const Slab<T> &slab) {
        const idx n = slab.w ? pieces(slab.rows, PACK_ROWS) : 0;
        const idx first = index * PACK_ROWS;
        if (index >= 0 && index < n)
            phase == PACK ? pack(slab, first) : phase == UNPACK ? unpack(slab, first) : repack(slab, first);
        index -= n;
    });
}

template <class T>
idx gradient_tasks(const Work<T> &w) {
    idx n = w.readout_grad.g ? pieces(w.readout_grad.width, COLUMNS) : 0;
    for (idx l = 0; l < w.layers; ++l)
        for (const Slab<T> *slab : {&w.part[l].in, &w.part[l].recurrent})
            n += slab->g ? pieces(slab->rows, CHUNK) : 0;
    return n + (w.label.g ? w.classes : 0);
}

template <class T>
void gradient_task(const Work<T> &w, const Block &block, idx index, const Scratch<T> &scratch) {
    bool plain = true;
    for (idx i = 0; i < w.tiles; ++i) plain &= w.plain[i] != 0;
    for (idx l = 0; l < w.layers; ++l) {
        const Part<T> &part = w.part[l];
        const Bits *targets = l ? &part.targets : nullptr;
        for (const Slab<T> *slab : {&part.in, &part.recurrent}) {
            const idx n = slab->g ? pieces(slab->rows, CHUNK) : 0;
            if (index < n) {
                Source<T> source{&part.samples, targets, 1, nullptr};
                if (slab == &part.in && l)
                    source = {&w.part[l - 1].samples, &w.part[l - 1].targets, 0, nullptr};
                else if (slab == &part.in)
                    source = {&w.events, nullptr, 0,
                              plain ? nullptr : static_cast<const T *>(w.job->events)};
                return gradient_rows(w, block, *slab, l, index * CHUNK, source, scratch);
            }
            index -= n;
        }
    }
    const idx labels = w.label.g ? w.classes : 0;
    if (index < labels) return label_gradient(w, block, index);
    readout_gradient(w, block, (index - labels) * COLUMNS);
}

template <class T>
const Work<T> &work_of(const void *work) {
    return *static_cast<const Work<T> *>(work);
}

// How many temperatures a step takes from its target rows.
template <class T>
idx temperatures(const Work<T> &w) {
    return w.job->temperature > 0 ? 0 : w.layers;
}

template <class T>
idx fold_layers(const Work<T> &w) {
    return w.layers - (w.label_trained ? 0 : 1);
}

template <class T>
idx fold_columns(const Work<T> &w) {
    idx n = 0;
    for (idx l = 0; l < w.layers; ++l) n = std::max(n, pieces(w.part[l].width, COLUMNS));
    return n;
}

// FILTER: rows of the target stream; those of samples are filtered as soon as they are made.
template <class T>
idx filter_tasks(const Work<T> &w, const Block &block) {
    return w.job->eligibility && block.steps > 1 ? fold_layers(w) * pieces(w.rows, TILE) : 0;
}

template <class T>
void filter_task(const Work<T> &w, const Block &block, idx index) {
    const idx n = pieces(w.rows, TILE), first = index % n * TILE;
    const idx l = w.layers - fold_layers(w) + index / n;
    filter(w, block, l, w.batch + first, std::min(TILE, w.rows - first));
}

template <class T>
int64_t tasks(const void *work, Phase phase, const Block &block) {
    const Work<T> &w = work_of<T>(work);
    switch (phase) {
        case PACK:
        case UNPACK:
        case REPACK: return pack_tasks(w);
        case TARGETS: return w.class_tiles + block.steps;
        case DISTANCES: return block.steps * ((w.layers - 1) * w.wanted + temperatures(w));
        case SAMPLES:
        case INFER: return w.tiles;
        case FOLD: return w.fold ? block.steps * fold_layers(w) * fold_columns(w) : 0;
        case FILTER: return filter_tasks(w, block);
        case GRADIENTS: return gradient_tasks(w);
    }
    return 0;
}

template <class T>
void task(const void *work, Phase phase, const Block &block, int64_t index, int64_t thread) {
    const Work<T> &w = work_of<T>(work);
    const Scratch<T> &scratch = w.scratch[thread];
    switch (phase) {
        case PACK:
        case UNPACK:
        case REPACK: return pack_task(w, index, phase);
        case TARGETS:
            if (index < w.class_tiles) return target_rows(w, block, index, scratch);
            return label_targets(w, block, index - w.class_tiles);
        case DISTANCES: {
            const idx own = block.steps * temperatures(w);
            if (index < own) return warmth(w, block, index / w.layers, index % w.layers, scratch);
            index -= own;
            const idx i = index % w.wanted, deeper = index / w.wanted, above = w.layers - 1;
            return distance_row(w, block, deeper / above, 1 + deeper % above, i);
        }
        case SAMPLES: return sample_rows(w, block, index, scratch);
        case FOLD: {
            const idx columns = fold_columns(w), layers = fold_layers(w);
            const idx from = index % columns * COLUMNS, which = index / columns;
            const idx l = w.layers - layers + which % layers;
            if (from < w.part[l].width) fold(w, block, which / layers, l, from, scratch);
            return;
        }
        case FILTER: return filter_task(w, block, index);
        case GRADIENTS: return gradient_task(w, block, index, scratch);
        case INFER: return infer(w, index, scratch);
    }
}

template <class T>
size_t bytes(const Job &job) {
    return lay_out<T>(job, nullptr);
}

template <class T>
void open(const Job &job, void *memory) {
    lay_out<T>(job, static_cast<char *>(memory));
}

template <class T>
void close(const void *work) {
    const Work<T> &w = work_of<T>(work);
    const Job &job = *w.job;
    for (idx b = 0; b < w.batch; ++b)
        std::memcpy(static_cast<T *>(job.logits) + b * w.classes, w.logits + b * w.classes_width,
                    w.classes * sizeof(T));
    std::memcpy(job.ends, w.ends, w.batch * sizeof(int64_t));
    for (idx i = 0; i < w.tiles; ++i) {
        for (idx l = 0; w.learn && l <= w.layers; ++l)
            job.losses[l] += w.losses[i * (w.layers + 1) + l];
        for (idx l = 0; w.learn && l < w.layers; ++l) job.rates[l] += w.rates[i * w.layers + l];
        for (idx l = 0; l < w.layers; ++l) job.spikes[l] += w.spikes[i * w.layers + l];
    }
}

template <class T>
constexpr Kernels kernels = {bytes<T>, open<T>, block_steps<T>, part_steps<T>, tasks<T>,
                                task<T>, close<T>, step_bytes<T>, one_step<T>,
                                outer_bytes<T>, outer<T>};

}  // namespace

#define NAME2(level) kernels_##level
#define NAME(level) NAME2(level)
extern const Kernels NAME(LEVEL)[2];
const Kernels NAME(LEVEL)[2] = {kernels<float>, kernels<double>};
