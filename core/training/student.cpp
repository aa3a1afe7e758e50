// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/training/student.h"

#include "core/inference/pieces.h"
#include "core/inference/weights.h"
#include "core/training/trained_weights.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <string>
#include <utility>

namespace quantloupe {
namespace {

std::set<std::size_t> blockMatricesOf(const Decoder& decoder)
{
    std::set<std::size_t> matrices;
    for (const auto& block : decoder.blocks)
        for (const auto tensor : matricesOf(block))
            matrices.insert(tensor);
    return matrices;
}

}  // namespace

std::vector<std::size_t> Student::untrained(const Decoder& teacher, const Plan& plan)
{
    const auto matrices = blockMatricesOf(teacher);
    std::vector<std::size_t> others;
    for (const auto& planned : plan.tensors)
        if (planned.scheme && !matrices.contains(planned.tensor))
            others.push_back(planned.tensor);
    return others;
}

ModelPointer Student::outline(const Decoder& teacher, const Plan& plan)
{
    const auto matrices = blockMatricesOf(teacher);
    auto trained = normVectorsOf(teacher);
    for (const auto& planned : plan.tensors)
        if (planned.scheme && matrices.contains(planned.tensor))
            trained.insert(planned.tensor);
    return outlineOf(*teacher.model, trained);
}

Result<void> Student::takeMatrix(const Plan& plan, std::size_t tensor, StepRule rule, std::stop_token stop)
{
    const auto planned = std::find_if(plan.tensors.begin(), plan.tensors.end(),
        [&](const PlannedTensor& one) { return one.tensor == tensor && one.scheme; });
    if (planned == plan.tensors.end() || m_places.contains(tensor))
        return {};
    const auto& stored = m_model.tensors[tensor];
    auto weights = weightsToTrain(stored, std::move(stop));
    if (!weights)
        return tl::unexpected(weights.error());
    const auto shape = matrixShape(stored.view);
    const auto rows = static_cast<std::size_t>(shape.rows), columns = static_cast<std::size_t>(shape.columns);
    auto quantizer = TrainedQuantizer::create(*planned->scheme, rule, rows, columns);
    if (!quantizer)
        return tl::unexpected(quantizer.error());
    TrainedMatrix matrix {.tensor = tensor, .rows = rows, .columns = columns, .quantizer = std::move(*quantizer)};
    matrix.weights.values = std::move(*weights);
    matrix.weights.gradient.resize(rows * columns);
    matrix.steps.values.resize(matrix.quantizer.parameterCount());
    matrix.steps.gradient.resize(matrix.steps.values.size());
    matrix.quantized = matrix.weights.values;
    m_places[tensor] = m_matrices.size();
    m_matrices.push_back(std::move(matrix));
    return {};
}

Result<void> Student::takeVector(std::size_t tensor, std::stop_token stop)
{
    if (m_vectors.contains(tensor))
        return {};
    auto values = loadVector(m_model, tensor, std::move(stop));
    if (!values)
        return tl::unexpected(values.error());
    TrainedValues trained {.values = std::move(*values)};
    trained.gradient.resize(trained.values.size());
    m_vectors[tensor] = std::move(trained);
    return {};
}

Result<std::unique_ptr<Student>> Student::create(
    const Decoder& teacher, const Plan& plan, StepRule rule, std::stop_token stop)
{
    std::unique_ptr<Student> student(new Student);
    student->m_model = *teacher.model;
    Result<void> done;
    for (const auto& block : teacher.blocks)
        for (const auto tensor : matricesOf(block))
            if (done)
                done = student->takeMatrix(plan, tensor, rule, stop);
    for (const auto tensor : normVectorsOf(teacher))
        if (done)
            done = student->takeVector(tensor, stop);
    if (!done)
        return tl::unexpected(done.error());
    if (student->m_matrices.empty())
        return failure(
            ErrorCode::Unsupported, teacher.model->path.string(), "no matrix of a block is planned to be quantized");
    student->showWeights();
    auto decoder = describeDecoder(student->m_model);
    if (!decoder)
        return tl::unexpected(decoder.error());
    student->m_decoder = std::move(*decoder);
    return student;
}

/// The model's views of what is trained.
void Student::showWeights()
{
    for (const auto& matrix : m_matrices)
        showFloats(m_model.tensors[matrix.tensor], matrix.weights.values);
    for (const auto& [tensor, vector] : m_vectors)
        showFloats(m_model.tensors[tensor], vector.values);
}

WeightHook Student::weights() const
{
    return [this](std::size_t tensor) -> Result<RowReplacer> {
        const auto found = m_places.find(tensor);
        if (found == m_places.end())
            return RowReplacer();
        const auto& matrix = m_matrices[found->second];
        return RowReplacer([&matrix](std::uint64_t firstRow, std::span<float> rows) {
            const auto first = static_cast<std::size_t>(firstRow) * matrix.columns;
            std::copy_n(matrix.quantized.begin() + static_cast<std::ptrdiff_t>(first), rows.size(), rows.begin());
        });
    };
}

Result<void> Student::initialize(const std::map<std::size_t, std::vector<double>>& importance, std::stop_token stop)
{
    for (auto& matrix : m_matrices) {
        std::vector<float> columns(matrix.columns, 1.0F);
        if (const auto found = importance.find(matrix.tensor); found != importance.end())
            std::transform(found->second.begin(), found->second.end(), columns.begin(),
                [](double square) { return static_cast<float>(square); });
        if (!matrix.quantizer.initialize(matrix.weights.values, columns, stop))
            return stopped("training");
        matrix.steps.values = matrix.quantizer.parameters();
        matrix.steps.gradient.assign(matrix.steps.values.size(), 0.0F);
    }
    return {};
}

Result<void> Student::quantize(std::stop_token stop)
{
    forEachPiece(m_matrices.size(), stop, [&](std::size_t i) {
        auto& matrix = m_matrices[i];
        matrix.quantizer.parameters() = matrix.steps.values;
        matrix.quantizer.quantize(matrix.weights.values, matrix.quantized, stop);
    });
    return stop.stop_requested() ? Result<void>(stopped("training")) : Result<void>();
}

std::vector<TrainedValues*> Student::allValues()
{
    std::vector<TrainedValues*> all;
    for (auto& matrix : m_matrices) {
        all.push_back(&matrix.weights);
        all.push_back(&matrix.steps);
    }
    for (auto& [tensor, vector] : m_vectors)
        all.push_back(&vector);
    return all;
}

void Student::clearGradients()
{
    for (auto* values : allValues())
        std::fill(values->gradient.begin(), values->gradient.end(), 0.0F);
}

Result<void> Student::addGradients(const PartGradients& part, const std::stop_token& stop)
{
    const auto place = [this](std::size_t tensor) -> TrainedValues* {
        if (const auto found = m_places.find(tensor); found != m_places.end())
            return &m_matrices[found->second].weights;
        const auto found = m_vectors.find(tensor);
        return found == m_vectors.end() ? nullptr : &found->second;
    };
    return quantloupe::addGradients(part, place, stop);
}

Result<double> Student::update(const UpdateRates& rates)
{
    const std::stop_token never;
    forEachPiece(m_matrices.size(), never, [&](std::size_t i) {
        auto& matrix = m_matrices[i];
        matrix.quantizer.propagate(matrix.weights.values, matrix.weights.gradient, matrix.steps.gradient);
    });
    const auto norm = clipGradients(allValues(), rates.clipNorm, m_model, rates.number);
    if (!norm)
        return norm;
    const auto step = [&](TrainedValues& values, double rate, double decay) {
        values.adam.update(values.values, values.gradient, rate, decay, rates.number, rates.adam);
    };
    forEachPiece(m_matrices.size(), never, [&](std::size_t i) {
        auto& matrix = m_matrices[i];
        step(matrix.weights, rates.weights, rates.weightDecay);
        step(matrix.steps, rates.steps, 0.0);
        matrix.quantizer.parameters() = matrix.steps.values;
        matrix.quantizer.clampParameters();
        matrix.steps.values = matrix.quantizer.parameters();
    });
    for (auto& [tensor, vector] : m_vectors)
        step(vector, rates.weights, 0.0);
    return norm;
}

WeightQuantization Student::quantization(WeightQuantization others) const
{
    return [this, others = std::move(others)](std::size_t tensor, const Scheme& scheme,
               std::stop_token stop) -> Result<std::shared_ptr<const QuantizedTensor>> {
        const auto found = m_places.find(tensor);
        if (found == m_places.end())
            return others(tensor, scheme, std::move(stop));
        const auto& matrix = m_matrices[found->second];
        return learnedAs(scheme,
            LearnedTensor(matrix.quantizer.quantizer(), matrix.quantizer.grids(), matrix.weights.values),
            matrix.quantized, m_model.tensors[tensor].name);
    };
}

}  // namespace quantloupe
