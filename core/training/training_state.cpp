// SPDX-License-Identifier: GPL-3.0-or-later
// What a training goes on from:
//
//     8 bytes   "QLTRAIN1"
//     32 bytes  hash of the model, the schemes, both texts and the options, hexadecimal
//     3 × u64   steps done, steps noted, evaluations noted
//     …         TrainingStep and TrainingEvaluation, field by field
//     …         of everything that is trained: u64 count; f32 values, first and second moments (none before a step)
//     32 bytes  XXH3-128 of everything before, hexadecimal
//
// all little-endian.
#include "core/base/atomic_file.h"
#include "core/base/compute_arena.h"
#include "core/calibration/calibrate.h"
#include "core/calibration/sealed_file.h"
#include "core/training/train.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <string_view>
#include <utility>

namespace quantloupe {
namespace {

constexpr std::string_view kTrainingMagic = "QLTRAIN1";
constexpr std::size_t kHashBytes = 32;

template<class Number>
void writeOne(SealedWriter& writer, Number value)
{
    writer.write<Number>(std::span<const Number>(&value, 1));
}

/// The fields of the history, in one order for both directions.
template<class Step, class Each>
void stepFields(Step& step, const Each& each)
{
    each(step.loss);
    each(step.rate);
    each(step.gradientNorm);
}
template<class Evaluation, class Each>
void evaluationFields(Evaluation& evaluation, const Each& each)
{
    each(evaluation.perplexity);
    each(evaluation.teacherPerplexity);
    each(evaluation.divergence);
    each(evaluation.topAgreement);
}

/// Reads numbers until one is missing.
class StateReader
{
public:
    explicit StateReader(ByteCursor cursor)
        : m_cursor(cursor)
    {
    }
    template<class Number>
    Number one()
    {
        const auto number = m_cursor.read<Number>();
        m_good = m_good && number;
        return number ? *number : Number();
    }
    bool floats(std::vector<float>& into, std::size_t count)
    {
        const auto bytes = m_cursor.take(count * sizeof(float));
        m_good = m_good && bytes;
        if (!m_good)
            return false;
        into.resize(count);
        if (count > 0)
            std::memcpy(into.data(), bytes->data(), bytes->size());
        return true;
    }
    std::uint64_t remaining() const { return m_cursor.remaining(); }
    bool good() const { return m_good; }
    bool atEnd() const { return m_good && m_cursor.remaining() == 0; }

private:
    ByteCursor m_cursor;
    bool m_good = true;
};

bool holdsFiniteOnly(const TrainedValues& values)
{
    const auto finite = [](const std::vector<float>& numbers) {
        return std::all_of(numbers.begin(), numbers.end(), [](float number) { return std::isfinite(number); });
    };
    return finite(values.values) && finite(values.adam.first) && finite(values.adam.second);
}

/// Steps one after the other up to `done`, evaluations between.
bool isWhole(const TrainingHistory& history, std::uint64_t done)
{
    for (std::size_t i = 0; i < history.steps.size(); ++i)
        if (history.steps[i].step != i)
            return false;
    std::uint64_t next = 0;
    for (const auto& evaluation : history.evaluations) {
        if (evaluation.step < next || evaluation.step > done)
            return false;
        next = evaluation.step + 1;
    }
    return history.steps.size() == done;
}

}  // namespace

std::string Training::identity() const
{
    FingerprintHasher hasher;
    hasher.add(std::string_view(m_teacher.model->fingerprint));
    hasher.add(std::string_view(m_schemes));
    for (const auto* text : {&m_text, &m_heldOut})
        hasher.add(std::string_view(identityOf(*text)));
    const auto& o = m_options;
    for (const std::uint64_t number : {o.steps, std::uint64_t {o.batch}, std::uint64_t {o.accumulate}, o.warmUp, o.seed,
             o.evaluateEvery, o.patience, static_cast<std::uint64_t>(o.rule), std::uint64_t {o.distils ? 1U : 0U},
             std::bit_cast<std::uint64_t>(o.learningRate), std::bit_cast<std::uint64_t>(o.stepRate),
             std::bit_cast<std::uint64_t>(o.weightDecay), std::bit_cast<std::uint64_t>(o.clipNorm)})
        hasher.add(number);
    return hasher.hex();
}

Result<void> Training::save(const std::filesystem::path& path) const
{
    return replaceFileAtomically(path, [&](const std::filesystem::path& temporary) -> Result<void> {
        errno = 0;
        SealedWriter writer(temporary);
        writer.write<char>(kTrainingMagic);
        writer.write<char>(std::string_view(identity()));
        writeOne(writer, m_done);
        writeOne(writer, std::uint64_t {m_history.steps.size()});
        writeOne(writer, std::uint64_t {m_history.evaluations.size()});
        const auto put = [&](double number) { writeOne(writer, number); };
        for (const auto& step : m_history.steps) {
            writeOne(writer, step.step);
            stepFields(step, put);
        }
        for (const auto& evaluation : m_history.evaluations) {
            writeOne(writer, evaluation.step);
            evaluationFields(evaluation, put);
        }
        for (const auto* values : m_student->allValues()) {
            writeOne(writer, std::uint64_t {values->values.size()});
            writeOne(writer, std::uint64_t {values->adam.first.size()});
            for (const auto* part : {&values->values, &values->adam.first, &values->adam.second})
                writer.write<float>(*part);
        }
        return writer.finish().empty() ? Result<void>(systemFailure(ErrorCode::CannotWrite, path)) : Result<void>();
    });
}

Result<void> Training::resume(const std::filesystem::path& path)
{
    const auto damaged = [&](const char* why) { return failure(ErrorCode::Malformed, path.string(), why); };
    const auto mapped = MappedFile::open(path);
    if (!mapped)
        return tl::unexpected(mapped.error());
    const auto bytes = (*mapped)->bytes();
    if (bytes.size() < kTrainingMagic.size() + (2 * kHashBytes))
        return damaged("is not the state of a training");
    const auto content = bytes.first(bytes.size() - kHashBytes);
    const auto textAt = [&](std::size_t first) {
        return std::string_view(reinterpret_cast<const char*>(bytes.data()) + first, kHashBytes);
    };
    ByteCursor cursor(content);
    if (!takeMagic(cursor, kTrainingMagic))
        return damaged("is not the state of a training");
    FingerprintHasher hasher;
    hasher.add(content);
    if (textAt(content.size()) != hasher.hex())
        return damaged("its checksum does not match, it is damaged");
    if (textAt(kTrainingMagic.size()) != identity())
        return failure(ErrorCode::Conflict, path.string(),
            "is of another model, scheme, text or other options: go on with the same, or train into another file");
    static_cast<void>(cursor.take(kHashBytes));
    StateReader reader(cursor);
    const auto done = reader.one<std::uint64_t>();
    const auto steps = reader.one<std::uint64_t>(), evaluations = reader.one<std::uint64_t>();
    TrainingHistory history;
    const auto get = [&](double& number) { number = reader.one<double>(); };
    for (std::uint64_t i = 0; i < steps && reader.good(); ++i) {
        auto& step = history.steps.emplace_back();
        step.step = reader.one<std::uint64_t>();
        stepFields(step, get);
    }
    for (std::uint64_t i = 0; i < evaluations && reader.good(); ++i) {
        auto& evaluation = history.evaluations.emplace_back();
        evaluation.step = reader.one<std::uint64_t>();
        evaluationFields(evaluation, get);
    }
    const auto all = m_student->allValues();
    std::vector<TrainedValues> read(all.size());
    for (std::size_t i = 0; i < all.size() && reader.good(); ++i) {
        const auto count = reader.one<std::uint64_t>(), moments = reader.one<std::uint64_t>();
        if (count != all[i]->values.size() || (moments != 0 && moments != count))
            return damaged("its parts are not as large as the model's");
        reader.floats(read[i].values, static_cast<std::size_t>(count));
        reader.floats(read[i].adam.first, static_cast<std::size_t>(moments));
        reader.floats(read[i].adam.second, static_cast<std::size_t>(moments));
    }
    if (!reader.atEnd())
        return damaged("its parts are not as large as its header says");
    if (!isWhole(history, done))
        return damaged("its history is not that of the steps that it has done");
    if (!std::all_of(read.begin(), read.end(), holdsFiniteOnly))
        return damaged("holds numbers that are not finite");
    for (std::size_t i = 0; i < all.size(); ++i) {
        // Views of the model point to the values: they stay where they are.
        std::copy(read[i].values.begin(), read[i].values.end(), all[i]->values.begin());
        all[i]->adam = std::move(read[i].adam);
    }
    m_done = done;
    m_history = std::move(history);
    return ComputeArena(m_options.threads).execute([&] { return m_student->quantize({}); });
}

}  // namespace quantloupe
