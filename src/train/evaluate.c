#include "train/evaluate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "train/choice.h"

moe_status routing_sums_create(struct routing_sums *s, int32_t layers, int32_t experts, moe_err *err) {
    moe_status status = MOE_OK;
    const size_t cells = (size_t)layers * (size_t)experts + 1;
    *s = (struct routing_sums){.layers = layers, .experts = experts};
    s->load = calloc(cells, sizeof *s->load);
    s->dropped = calloc(cells, sizeof *s->dropped);
    s->prob_mass = calloc(cells, sizeof *s->prob_mass);
    s->entropy = calloc((size_t)layers + 1, sizeof *s->entropy);
    s->hist = calloc(cells * ROUTING_HIST_BINS, sizeof *s->hist);
    moe_check(s->load != NULL && s->dropped != NULL && s->prob_mass != NULL && s->entropy != NULL &&
                  s->hist != NULL,
              err, MOE_ENOMEM, "no memory for routing statistics of %d layers x %d experts", layers, experts);
out:
    if (status != MOE_OK) routing_sums_free(s);
    return status;
}

void routing_sums_free(struct routing_sums *s) {
    free(s->load);
    free(s->dropped);
    free(s->prob_mass);
    free(s->entropy);
    free(s->hist);
    memset(s, 0, sizeof *s);
}

void routing_sums_clear(struct routing_sums *s) {
    const size_t cells = (size_t)s->layers * (size_t)s->experts;
    s->rows = 0;
    memset(s->load, 0, cells * sizeof *s->load);
    memset(s->dropped, 0, cells * sizeof *s->dropped);
    memset(s->prob_mass, 0, cells * sizeof *s->prob_mass);
    memset(s->entropy, 0, (size_t)s->layers * sizeof *s->entropy);
    memset(s->hist, 0, cells * ROUTING_HIST_BINS * sizeof *s->hist);
}

void routing_sums_add(struct routing_sums *s, const struct routing *r, int64_t rows) {
    const size_t cells = (size_t)s->layers * (size_t)s->experts;
    s->rows += rows;
    for (size_t c = 0; c < cells; c++) {
        s->load[c] += r->host.load[c];
        s->dropped[c] += r->host.dropped[c];
        s->prob_mass[c] += (double)r->host.prob_mass[c];
    }
    for (int32_t l = 0; l < s->layers; l++)
        s->entropy[l] += (double)r->host.entropy[l];
    for (size_t i = 0; r->with_hist && i < cells * ROUTING_HIST_BINS; i++)
        s->hist[i] += r->host.hist[i];
}

/* Sums of one domain. The balance loss is one of a batch: a domain has its mean over the batches that its
 * sequences stood in, by their number. */
struct domain_sums {
    double ce, aux;
    int64_t tokens, correct;
};

/* Means over batches, each batch weighing the same, as source A's evaluation takes them. */
struct batch_means {
    double ce, loss, aux;
    int64_t batches;
};

static void add_batch(const struct dataset *data, int64_t first, int64_t count, double aux,
                      const double *sequence_ce, const int64_t *sequence_correct,
                      struct domain_sums *domains) {
    for (int64_t i = 0; i < count; i++) {
        const int32_t domain = data->validation.domain != NULL ? data->validation.domain[first + i] : 0;
        struct domain_sums *into[2] = {&domains[0], domain > 0 ? &domains[domain] : NULL};
        for (int k = 0; k < 2 && into[k] != NULL; k++) {
            into[k]->ce += sequence_ce[i];
            into[k]->aux += aux * data->sequence_length;
            into[k]->correct += sequence_correct[i];
            into[k]->tokens += data->sequence_length;
        }
    }
}

static void fill_rows(const struct experiment *e, const struct dataset *data,
                      const struct domain_sums *domains, const struct batch_means *means,
                      double token_smoothed, int64_t step, int64_t epoch, struct evaluation *out) {
    const double batches = (double)means->batches;
    out->domains = data->domains;
    for (int32_t i = 0; i < data->domains; i++) {
        const double tokens = domains[i].tokens > 0 ? (double)domains[i].tokens : 1.0;
        struct run_eval_row *row = &out->rows[i];
        *row = (struct run_eval_row){.step = step, .epoch = epoch, .domain = i, .tokens = domains[i].tokens};
        row->loss_ce = domains[i].ce / tokens;
        row->loss_aux = domains[i].aux / tokens;
        row->accuracy = (double)domains[i].correct / tokens;
        row->loss = row->loss_ce;
    }
    struct run_eval_row *all = &out->rows[0];
    all->loss_aux = means->aux / batches;
    if (e->train.eval_batch_mean) all->loss_ce = means->ce / batches;
    all->loss = e->train.eval_batch_mean ? means->loss / batches : token_smoothed;
    if (e->train.criterion == CRITERION_LOSS) all->loss += all->loss_aux;
    for (int32_t i = 0; i < data->domains; i++)
        out->rows[i].perplexity = exp(out->rows[i].loss_ce);
    out->criterion = all->loss;
}

moe_status evaluate(struct learner *l, const struct corpus *corpus, int64_t step, int64_t epoch,
                    struct corpus_batch *buffer, struct routing_sums *routing,
                    struct evaluation *out_evaluation, moe_err *err) {
    moe_status status = MOE_OK;
    const struct experiment *e = l->e;
    const struct dataset *data = corpus->data;
    const double start = clock_seconds();
    const int64_t per_batch = e->train.micro_batch_size, sequences = data->validation.sequences;
    struct domain_sums domains[DATASET_MAX_DOMAINS] = {{0}};
    struct batch_means means = {0};
    double smoothed = 0;
    int64_t tokens = 0;
    double *sequence_ce = calloc((size_t)per_batch, sizeof *sequence_ce);
    int64_t *sequence_correct = calloc((size_t)per_batch, sizeof *sequence_correct);
    int64_t *numbers = calloc((size_t)per_batch, sizeof *numbers);
    moe_check(sequence_ce != NULL && sequence_correct != NULL && numbers != NULL, err, MOE_ENOMEM,
              "no memory for an evaluation batch of %lld sequences", (long long)per_batch);
    routing_sums_clear(routing);
    for (int64_t first = 0; first < sequences; first += per_batch) {
        const int64_t count = sequences - first < per_batch ? sequences - first : per_batch;
        for (int64_t i = 0; i < count; i++)
            numbers[i] = first + i;
        corpus_batch_read(corpus, false, numbers, count, buffer);
        const struct learner_batch batch = {
            .data = buffer,
            .batch = count,
            .seq = data->sequence_length,
            .step = (uint32_t)step,
            .micro = (uint32_t)(first / per_batch),
            .step_rows = count * data->sequence_length,
        };
        struct learner_loss loss;
        moe_try(learner_eval_batch(l, &batch, &loss, sequence_ce, sequence_correct, err));
        add_batch(data, first, count, loss.aux, sequence_ce, sequence_correct, domains);
        routing_sums_add(routing, l->routing, count * data->sequence_length);
        means.ce += loss.ce / (double)loss.targets;
        means.loss += loss.smoothed / (double)loss.targets;
        means.aux += loss.aux;
        means.batches++;
        smoothed += loss.smoothed;
        tokens += loss.targets;
    }
    moe_check(means.batches > 0, err, MOE_ECONFIG, "the validation split has no sequence");
    fill_rows(e, data, domains, &means, smoothed / (double)tokens, step, epoch, out_evaluation);
    moe_check(isfinite(out_evaluation->criterion), err, MOE_ENUMERIC,
              "step %lld: the validation loss is not finite; lower train.lr or set train.clip",
              (long long)step);
    if (data->choice != NULL)
        moe_try(
            choice_evaluate(l, data->choice, step, buffer, &out_evaluation->rows[data->domains - 1], err));
    out_evaluation->seconds = clock_seconds() - start;
out:
    free(sequence_ce);
    free(sequence_correct);
    free(numbers);
    return status;
}
