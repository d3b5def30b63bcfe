// One step of a dense network on weights, gradients and state where PyTorch keeps them. Between two
// steps nothing remains here but a copy of the label's recurrent weights, if Python says that it
// holds: what else is in the working memory is made anew (or zero, `Room::sum` and padding).
//
// The equations are those of a sequence (learn.hpp), on a block of one step whose trace takes the
// place of the one before; products with weights are sparse.hpp's. A sample that has ended goes on
// without input, as in PyTorch's step, and has no error.
#pragma once
#include "learn.hpp"
#include "sparse.hpp"

namespace {

template <class T>
struct Now {
    Work<T> w;
    Lists<T> below, before, own, label;  // a layer's input, its spikes of the last step and of this
    Room<T> room;
    T *label_recurrent;  // kept tiles; null: it is read where it lies
    T *current;      // (R, widest)
    T *delta;        // (B, widest)
    T *dense, *out;  // (R, most inputs), (8, most inputs)
    Scratch<T> scratch;
};

template <class T>
Lists<T> lists(Arena &arena, idx rows, idx most) {
    return {arena.take<int32_t>(most), arena.take<T>(most), arena.take<idx>(rows + 1), true};
}

// Lays a step out from `base` (null: counts) and returns the bytes.
template <class T>
size_t lay_out(const Step &step, char *base, Now<T> &now) {
    const Job &job = *step.job;
    Arena arena{base};
    now = Now<T>{};
    Work<T> &w = now.w;
    w.job = &job, w.layers = job.layers, w.learn = job.learn, w.batch = job.batch;
    w.rows = w.capacity = job.learn ? job.rows : 0, w.all = w.batch + w.rows;
    w.most_wanted = std::min(w.batch, w.rows);
    w.classes = job.classes, w.classes_width = padded<T>(w.classes);
    w.inputs = job.layer[0].inputs, w.block = w.slots = 1;
    w.label_trained = job.learn && job.label.grad;
    if (job.learn && step.keeps_label) {
        const idx n = job.layer[0].outputs;
        now.label_recurrent = arena.take<T>(padded<T>(n) * (n + Vec<T>::lanes));
    }
    idx widest = w.classes_width, most = std::max(w.inputs, w.classes), neurons = 0;
    for (idx l = 0; l < w.layers; ++l) {
        Part<T> &part = w.part[l];
        part.layer = job.layer + l, part.n = part.layer->outputs, part.width = padded<T>(part.n);
        widest = std::max(widest, part.width), most = std::max(most, part.n);
        neurons = std::max(neurons, part.n);
        if (!w.learn) continue;
        part.z = arena.take<T>(w.all * part.width);
        part.g = arena.take<T>(w.all * part.width);
        part.e = arena.take<T>(w.batch * w.rows);
        part.p = arena.take<T>(w.most_wanted * w.rows);
    }
    const idx spikes = w.all * neurons, groups = most / Vec<T>::lanes + 1;
    now.below = lists<T>(arena, w.all, std::max(spikes, w.batch * w.inputs));
    now.before = lists<T>(arena, w.all, spikes);
    now.own = lists<T>(arena, w.all, std::max(spikes, w.batch * w.inputs));
    now.label = lists<T>(arena, w.rows, w.rows);
    now.room.tile = arena.take<T>((most + Vec<T>::lanes) * OUT<T>);
    now.room.sum = arena.take<T>((most + Vec<T>::lanes) * OUT<T>);
    now.room.id = arena.take<int32_t>(groups), now.room.seen = arena.take<uint8_t>(groups);
    now.current = arena.take<T>(w.all * widest);
    w.logits = arena.take<T>(w.batch * w.classes_width);
    w.ends = arena.take<int64_t>(w.batch);
    if (w.learn || step.error) w.error = arena.take<T>(w.batch * w.classes_width);
    if (!w.learn) return arena.used;
    now.delta = arena.take<T>(w.batch * widest);
    now.dense = arena.take<T>(job.eligibility ? w.all * padded<T>(most) : 0);
    now.out = arena.take<T>(CHUNK * padded<T>(most));
    now.scratch.current = now.out;
    now.scratch.fold = arena.take<T>(w.rows * COLUMNS);
    w.log_n = arena.take<T>(w.rows), w.cool = arena.take<T>(w.layers);
    w.running = arena.take<idx>(1);
    w.wanted_row = arena.take<int32_t>(w.most_wanted), w.place = arena.take<int32_t>(w.rows);
    if (base) find_wanted(w);
    return arena.used;
}

// The elements of x (rows, n) that are not zero, of rows that `counts` says.
template <class T, class Test>
void list(const T *x, idx rows, idx n, Lists<T> &to, Test counts) {
    to.ones = true, to.offset[0] = 0;
    for (idx r = 0; r < rows; ++r) {
        const idx at = to.offset[r];
        const idx some = counts(r) ? indices_of_events(x + r * n, n, to.index + at, to.value + at, &to.ones) : 0;
        to.offset[r + 1] = at + some;
    }
}

// current (rows, width) += what x's rows, from `first` on, bring through a matrix, if there is one, or
// through its tiles where they are kept.
template <class T>
void bring(
    const Now<T> &now, const Matrix &matrix, idx outputs, idx inputs, const Lists<T> &x, idx first,
    idx rows, T *current, idx width, const T *kept = nullptr
) {
    if (!matrix.weight || !rows) return;
    if (kept) return gather_kept(kept, outputs, inputs, x, first, rows, current, width);
    const Groups active = groups_of(x, first, rows, inputs, now.room);
    gather(static_cast<const T *>(matrix.weight), outputs, inputs, x, first, rows, active, current,
           width, now.room);
}

// Layer l's neurons: membranes, spikes and traces of all rows move on, σ' is left in the place of g.
template <class T>
void fire_rows(const Step &step, Now<T> &now, idx l) {
    const Work<T> &w = now.w;
    const Part<T> &part = w.part[l];
    const Layer &layer = *part.layer;
    const State &state = step.state[l];
    const idx n = part.n, width = part.width;
    now.own.ones = true, now.own.offset[0] = 0;
    for (idx r = 0; r < w.all; ++r) {
        const bool target = r >= w.batch;
        const double theta = target && !l ? w.job->label_threshold : layer.threshold;
        T *xi = now.current + r * width, *u = static_cast<T *>(state.next_membrane) + r * n;
        T *s = static_cast<T *>(state.next_spikes) + r * n;
        T *z = w.learn ? static_cast<T *>(state.trace) + r * n : nullptr;
        if (state.next_membrane != state.membrane)
            std::memcpy(u, static_cast<const T *>(state.membrane) + r * n, n * sizeof(T));
        fire(layer, static_cast<T>(theta), xi, u, z, z, n);
        for (idx i = 0; i < n; ++i) s[i] = xi[i] >= T(0) ? T(1) : T(0);
        const idx at = now.own.offset[r];
        now.own.offset[r + 1] = at + indices_of_spikes(xi, n, now.own.index + at);
        if (T *v = static_cast<T *>(state.v))
            for (idx i = 0; i < n; ++i) v[r * n + i] = xi[i] + static_cast<T>(theta);
        if (T *slope = static_cast<T *>(state.slope)) surrogate(layer, xi, slope + r * n, n);
        if (!z) continue;
        T *copy = part.z + r * width, *slope = part.g + r * width;
        std::memcpy(copy, z, n * sizeof(T));
        std::memset(copy + n, 0, (width - n) * sizeof(T));
        if (target && !l && !w.label_trained) continue;
        surrogate(layer, xi, xi, n);
        std::memcpy(slope, xi, n * sizeof(T));
        std::memset(slope + n, 0, (width - n) * sizeof(T));
    }
}

template <class T>
void forward(const Step &step, Now<T> &now, idx l) {
    const Work<T> &w = now.w;
    const Job &job = *w.job;
    const Part<T> &part = w.part[l];
    const Layer &layer = *part.layer;
    const idx n = part.n, width = part.width, through = l ? w.all : w.batch;
    T *targets = now.current + w.batch * width;
    std::memset(now.current, 0, w.all * width * sizeof(T));
    list(static_cast<const T *>(step.state[l].spikes), w.all, n, now.before, [](idx) { return true; });
    bring(now, layer.weight, n, layer.inputs, now.below, 0, through, now.current, width);
    bring(now, layer.recurrent, n, n, now.before, 0, through, now.current, width);
    if (!l) {
        bring(now, job.label, n, w.classes, now.label, 0, w.rows, targets, width);
        bring(now, job.label_recurrent, n, n, now.before, w.batch, w.rows, targets, width,
              now.label_recurrent);
    }
    fire_rows(step, now, l);
}

// g of layer l in the place of σ', of all rows that err; adds to its loss.
template <class T>
void contrast(const Step &step, Now<T> &now, idx l) {
    const Work<T> &w = now.w;
    const Part<T> &part = w.part[l];
    const Block block{step.time, 1, false, 0};
    const idx width = part.width;
    const T *y = part.z + w.batch * width;
    for (idx i = 0; l && i < w.wanted; ++i) distance_row(w, block, 0, l, i);
    if (w.job->temperature <= 0) warmth(w, block, 0, l, now.scratch);
    similarity(part.z, w.batch, y, w.rows, width, part.e, w.rows);
    const double loss = tile_error(w, 0, l, Tile{0, w.batch, 0}, step.time, part.e);
    static_cast<T *>(step.losses)[l] += static_cast<T>(loss);
    sample_errors(part.e, w.rows, w.batch, y, w.rows, width, now.delta);
    for (idx i = 0; i < w.batch * width; ++i) part.g[i] *= now.delta[i];
    if (!l && !w.label_trained) return;
    for (idx from = 0; from < width; from += COLUMNS) fold(w, block, 0, l, from, now.scratch);
}

// ∂W of one matrix from its input's rows, or with eligibility from their traces (rows, inputs),
// which move on first.
template <class T>
void learn_matrix(
    const Now<T> &now, const Matrix &matrix, void *trace, idx l, idx inputs, const Lists<T> &x, idx rows
) {
    const Part<T> &part = now.w.part[l];
    T *grad = static_cast<T *>(matrix.grad), *bar = static_cast<T *>(trace);
    const bool fresh = !matrix.has_grad;
    if (!matrix.weight) return;
    if (!bar) {
        if (!grad) return;
        const Groups active = groups_of(x, 0, rows, inputs, now.room);
        return scatter(grad, fresh, part.n, inputs, x, 0, rows, active, part.g, part.width, now.room);
    }
    const T beta = static_cast<T>(part.layer->beta);
    const idx width = padded<T>(inputs);
    for (idx r = 0; r < rows; ++r) {
        T *own = bar + r * inputs, *copy = now.dense + r * width;
        for (idx i = 0; i < inputs; ++i) own[i] *= beta;
        for (idx i = x.offset[r]; i < x.offset[r + 1]; ++i)
            own[x.index[i]] += x.ones ? T(1) : x.value[i];
        std::memcpy(copy, own, inputs * sizeof(T));
        std::memset(copy + inputs, 0, (width - inputs) * sizeof(T));
    }
    if (grad) add_dense(grad, fresh, part.n, inputs, part.g, part.width, now.dense, rows, now.out);
}

template <class T>
void gradients(const Step &step, Now<T> &now, idx l) {
    const Work<T> &w = now.w;
    const Job &job = *w.job;
    const Part<T> &part = w.part[l];
    const Layer &layer = *part.layer;
    const State &state = step.state[l];
    const idx rows = l ? w.all : w.batch;
    learn_matrix(now, layer.weight, state.input_trace, l, layer.inputs, now.below, rows);
    learn_matrix(now, layer.recurrent, state.recurrent_trace, l, part.n, now.before, rows);
    if (l || !w.label_trained) return;
    const T y = job.eligibility ? static_cast<T>(geometric(layer.beta, step.time + 1)) : T(1);
    for (idx c = 0; c < w.rows; ++c) now.label.value[c] = y;
    now.label.ones = y == T(1);
    const Groups active = groups_of(now.label, 0, w.rows, w.classes, now.room);
    scatter(static_cast<T *>(job.label.grad), !job.label.has_grad, part.n, w.classes, now.label, 0,
            w.rows, active, part.g + w.batch * part.width, part.width, now.room);
}

template <class T>
void read_out(const Step &step, Now<T> &now) {
    const Work<T> &w = now.w;
    const Job &job = *w.job;
    const Part<T> &last = w.part[w.layers - 1];
    const T alpha = static_cast<T>(job.readout_decay), *before = static_cast<const T *>(step.before);
    std::memset(w.logits, 0, w.batch * w.classes_width * sizeof(T));
    bring(now, job.readout, w.classes, last.n, now.own, 0, w.batch, w.logits, w.classes_width);
    for (idx b = 0; b < w.batch; ++b) {
        T *m = w.logits + b * w.classes_width;
        const T *old = before + b * w.classes;
        const bool runs = w.alive(b, step.time);
        for (idx c = 0; c < w.classes; ++c) m[c] = runs ? m[c] + alpha * old[c] : old[c];
        std::memcpy(static_cast<T *>(job.logits) + b * w.classes, m, w.classes * sizeof(T));
    }
    if (!w.error) return;
    const double loss = readout_error(w, 0, Tile{0, w.batch, 0}, step.time);
    static_cast<T *>(step.losses)[w.layers] += static_cast<T>(loss);
    for (idx b = 0; step.error && b < w.batch; ++b)
        std::memcpy(static_cast<T *>(step.error) + b * w.classes, w.error + b * w.classes_width,
                    w.classes * sizeof(T));
    if (w.learn && job.readout.grad)
        add_dense(static_cast<T *>(job.readout.grad), !job.readout.has_grad, w.classes, last.n, w.error,
                  w.classes_width, last.z, w.batch, now.out);
}

template <class T>
void one_step(const Step &step, void *memory) {
    Now<T> now;
    lay_out(step, static_cast<char *>(memory), now);
    const Work<T> &w = now.w;
    const Job &job = *w.job;
    const idx t = step.time;
    if (now.label_recurrent && !step.has_label)
        keep(static_cast<const T *>(job.label_recurrent.weight), w.part[0].n, w.part[0].n,
             now.label_recurrent);
    for (idx b = 0; b < w.batch; ++b) w.ends[b] = job.lengths ? job.lengths[b] : t + 1;
    list(static_cast<const T *>(job.events), w.batch, w.inputs, now.below,
         [&](idx b) { return w.alive(b, t); });
    for (idx c = 0; c < w.rows; ++c)
        now.label.index[c] = static_cast<int32_t>(job.class_of[c]), now.label.offset[c] = c;
    if (w.learn) now.label.offset[w.rows] = w.rows;
    for (idx b = w.batch; w.learn && b < w.all; ++b) now.below.offset[b + 1] = now.below.offset[w.batch];
    if (w.learn) label_targets(w, Block{t, 1, false, 0}, 0);
    idx running = 0;
    for (idx b = 0; b < w.batch; ++b) running += w.alive(b, t);
    if (w.learn) running = w.running[0];  // of the whole batch
    for (idx l = 0; l < w.layers; ++l) {
        forward(step, now, l);
        if (w.learn) {
            contrast(step, now, l);
            gradients(step, now, l);
        }
        if (step.rates) {
            idx spikes = 0;
            for (idx b = 0; b < w.batch; ++b) spikes += w.alive(b, t) ? now.own.count(b) : 0;
            const double all = static_cast<double>(std::max<idx>(running, 1));
            static_cast<T *>(step.rates)[l] +=
                static_cast<T>(static_cast<double>(spikes) / (all * w.part[l].n));
        }
        std::swap(now.below, now.own);
    }
    std::swap(now.below, now.own);  // the last layer's spikes
    read_out(step, now);
}

template <class T>
size_t step_bytes(const Step &step) {
    Now<T> now;
    return lay_out<T>(step, nullptr, now);
}

}  // namespace
