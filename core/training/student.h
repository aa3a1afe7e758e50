// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/inference/backward.h"
#include "core/number_formats/quantized_tensor.h"
#include "core/recipes/plan.h"
#include "core/algorithms/adam.h"
#include "core/algorithms/trained_quantizer.h"
#include "core/training/trained_values.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <stop_token>
#include <vector>

namespace quantloupe {

/// A weight matrix of the student: what is trained, and what its forward pass sees.
struct TrainedMatrix {
    std::size_t tensor = 0;
    std::size_t rows = 0, columns = 0;
    TrainedQuantizer quantizer;
    TrainedValues weights {}, steps {};  ///< steps: what the quantizer learns of its grids
    std::vector<float> quantized {};
};

/// One step of the optimizer.
struct UpdateRates {
    double weights = 0.0, steps = 0.0;
    double weightDecay = 0.0;  ///< of weight matrices alone
    double clipNorm = 0.0;     ///< gradients are scaled down to this norm, all together; 0: they are not
    std::uint64_t number = 1;  ///< of the step, from 1
    AdamSettings adam {};
};

/// A model whose weights learn to be quantized: a copy of the original whose planned matrices of blocks, and whose
/// norms, lie in memory as float32 and are trained; embedding and output head stay. 20 bytes per trained weight.
class Student
{
public:
    /// Errors: Unsupported (nothing to train, a scheme that does not go with the rule, matrices that are stored by
    /// columns), Cancelled, those of describeDecoder() and of reading weights. @pre plan is of the decoder's model
    static Result<std::unique_ptr<Student>> create(
        const Decoder& teacher, const Plan& plan, StepRule rule, std::stop_token stop);
    /// Tensors that are planned to be quantized and cannot be trained: embedding, output head and others that no block
    /// multiplies with.
    static std::vector<std::size_t> untrained(const Decoder& teacher, const Plan& plan);
    /// How model() will lie, before there is a student: for drafts of what will be written. Its trained weights are 0,
    /// in memory that is not touched until somebody reads it.
    static ModelPointer outline(const Decoder& teacher, const Plan& plan);
    Student(const Student&) = delete;
    Student& operator=(const Student&) = delete;

    /// Its forward pass with weights().
    const Decoder& decoder() const { return m_decoder; }
    const Model& model() const { return m_model; }
    /// The quantized weights of today. Borrows the student.
    WeightHook weights() const;

    /// Starts learned grids from what each column of inputs weighs: Σ x² by tensor, missing ones all alike.
    Result<void> initialize(const std::map<std::size_t, std::vector<double>>& importance, std::stop_token stop);
    /// Ŵ of all matrices. Runs in the caller's arena. Errors: Cancelled.
    Result<void> quantize(std::stop_token stop);
    void clearGradients();
    /// Adds what a part of a backward pass gave. Runs in the caller's arena; the bits do not depend on its threads.
    Result<void> addGradients(const PartGradients& part, const std::stop_token& stop);
    /// One step of AdamW, gradients going through the quantizers first. The norm of all gradients, before clipping.
    /// Errors: Malformed (it is not finite: nothing was updated).
    Result<double> update(const UpdateRates& rates);

    /// Everything that is trained, in one fixed order. Who changes values quantizes anew, and leaves the vectors'
    /// memory where it is.
    std::vector<TrainedValues*> allValues();
    const std::vector<TrainedMatrix>& matrices() const { return m_matrices; }
    /// Norms and their biases, by tensor.
    const std::map<std::size_t, TrainedValues>& vectors() const { return m_vectors; }

    /// The codes that the student has learned, for whoever writes them to a file; of tensors that were not trained,
    /// those of `others`. Borrows the student. What it makes refuses (Unsupported) to give a trained tensor under
    /// another scheme, but for floats that hold what its codes stand for. @pre quantize() since the last update()
    WeightQuantization quantization(WeightQuantization others) const;

private:
    Student() = default;
    Result<void> takeMatrix(const Plan& plan, std::size_t tensor, StepRule rule, std::stop_token stop);
    Result<void> takeVector(std::size_t tensor, std::stop_token stop);
    void showWeights();

    Model m_model;
    Decoder m_decoder;
    std::vector<TrainedMatrix> m_matrices;
    std::map<std::size_t, std::size_t> m_places;  ///< of matrices, by tensor
    std::map<std::size_t, TrainedValues> m_vectors;
};

}  // namespace quantloupe
