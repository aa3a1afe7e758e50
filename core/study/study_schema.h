// SPDX-License-Identifier: GPL-3.0-or-later
// The columns of a study's tables: one list for the writer and the reader.
#pragma once

#include "core/model/model.h"
#include "core/study/hdf5_values.h"
#include "core/study/measurement.h"
#include "core/study/study_file.h"

#include <cstdint>
#include <optional>
#include <variant>

namespace quantloupe::study_schema {

/// One column of numbers: its name in the file and where the number is in a record.
template<class Record>
struct Column {
    const char* name;
    hdf5::Meaning meaning;
    std::variant<double Record::*, std::uint64_t Record::*> member;
};

inline constexpr const char* kWeight = "weight units";
inline constexpr const char* kEnergy = "weight units squared";
inline constexpr const char* kCount = "weights";

inline constexpr Column<Moments> kMomentColumns[] = {
    {"moment_pivot", {kWeight, "point p that the moments are taken about"}, &Moments::pivot},
    {"count", {kCount, "finite weights"}, &Moments::count},
    {"moment_1", {kWeight, "sum of (w-p)"}, &Moments::sum1},
    {"moment_2", {kEnergy, "sum of (w-p)^2"}, &Moments::sum2},
    {"moment_3", {"weight units cubed", "sum of (w-p)^3"}, &Moments::sum3},
    {"moment_4", {"weight units to the fourth", "sum of (w-p)^4"}, &Moments::sum4},
};

inline constexpr Column<WeightStatistics> kWeightColumns[] = {
    {"minimum", {kWeight, "smallest finite weight"}, &WeightStatistics::minimum},
    {"maximum", {kWeight, "largest finite weight"}, &WeightStatistics::maximum},
    {"absmax", {kWeight, "largest size of a finite weight"}, &WeightStatistics::absMax},
    {"percentile_1", {kWeight, "from the histogram"}, &WeightStatistics::percentile1},
    {"percentile_99", {kWeight, "from the histogram"}, &WeightStatistics::percentile99},
    {"zeros", {kCount, "weights equal to zero"}, &WeightStatistics::zeros},
    {"nonfinite", {kCount, "NaN and infinite weights"}, &WeightStatistics::nonFinite},
    {"beyond_3_sigma", {kCount, "weights further than 3 standard deviations from the mean"},
        &WeightStatistics::beyond3Sigma},
    {"beyond_6_sigma", {kCount, "weights further than 6 standard deviations from the mean"},
        &WeightStatistics::beyond6Sigma},
};

inline constexpr Column<Histogram> kHistogramColumns[] = {
    {"histogram_low", {kWeight, "lower edge of the first bin"}, &Histogram::low},
    {"histogram_high", {kWeight, "upper edge of the last bin"}, &Histogram::high},
    {"histogram_underflow", {kCount, "values below the first bin"}, &Histogram::underflow},
    {"histogram_overflow", {kCount, "values above the last bin"}, &Histogram::overflow},
};

inline constexpr Column<ErrorStatistics> kErrorColumns[] = {
    {"count", {kCount, "finite weights"}, &ErrorStatistics::count},
    {"nonfinite", {kCount, "NaN and infinite weights, excluded"}, &ErrorStatistics::nonFinite},
    {"clipped", {kCount, "weights clamped to the ends of their range"}, &ErrorStatistics::clipped},
    {"signal_energy", {kEnergy, "sum of w^2"}, &ErrorStatistics::signalEnergy},
    {"quantized_energy", {kEnergy, "sum of q^2"}, &ErrorStatistics::quantizedEnergy},
    {"error_energy", {kEnergy, "sum of (w-q)^2"}, &ErrorStatistics::errorEnergy},
    {"dot_product", {kEnergy, "sum of w*q"}, &ErrorStatistics::dotProduct},
    {"error_sum", {kWeight, "sum of (w-q)"}, &ErrorStatistics::errorSum},
    {"max_abs_error", {kWeight, "largest |w-q|"}, &ErrorStatistics::maxAbsError},
};

inline constexpr Column<SchemeMeasurement> kMeasurementColumns[] = {
    {"bytes", {"bytes", "of the tensor under the scheme, scales and padding included"},
        &SchemeMeasurement::storedBytes},
    {"bits_per_weight", {"bits", "bytes * 8 / weights"}, &SchemeMeasurement::bitsPerWeight},
};

/// Not in files of earlier versions, where nothing was weighed.
inline constexpr Column<SchemeMeasurement> kImportanceColumns[] = {
    {"importance", {"1", "fingerprint of what errors in each column were weighed by; 0: by nothing"},
        &SchemeMeasurement::importance},
};

/// Not in files of earlier versions, where no inputs were known.
inline constexpr Column<SchemeMeasurement> kCalibrationColumns[] = {
    {"calibration", {"1", "fingerprint of what was known of the layer's inputs; 0: nothing"},
        &SchemeMeasurement::calibration},
};
inline constexpr Column<OutputError> kOutputColumns[] = {
    {"output_error_energy", {"1", "mean over tokens of |(W-Q)x|^2"}, &OutputError::energy},
    {"output_energy", {"1", "mean over tokens of |Wx|^2; 0: not known"}, &OutputError::signal},
};
inline constexpr Column<MeasuredDivergence> kDivergenceColumns[] = {
    {"kl_mean", {"nats per token", "KL divergence with this tensor alone quantized"}, &MeasuredDivergence::mean},
    {"kl_standard_error", {"nats per token", "of kl_mean over the windows of the text; 0: not known"},
        &MeasuredDivergence::standardError},
    {"kl_predictions", {kCount, "predictions compared; 0: not measured"}, &MeasuredDivergence::predictions},
    {"kl_text", {"1", "fingerprint of the tokens and their windows"}, &MeasuredDivergence::text},
};

/// Not in files of earlier versions, where no gradients were known.
inline constexpr Column<PredictedDivergence> kPredictedColumns[] = {
    {"kl_kfac", {"nats per token", "1/2 tr(G E H E^T) of the K-FAC factors; below 0: not known"},
        &PredictedDivergence::kfac},
    {"kl_fisher", {"nats per token", "1/2 sum F E^2, F: the Fisher diagonal; below 0: not known"},
        &PredictedDivergence::fisher},
};

/// Figures computed from the sums, for people who read a study with other tools; not read back.
struct DerivedColumn {
    const char* name;
    hdf5::Meaning meaning;
    double (ErrorStatistics::*figure)() const;
};
inline constexpr DerivedColumn kDerivedColumns[] = {
    {"mse", {kEnergy, "error_energy / count"}, &ErrorStatistics::mse},
    {"sqnr_db", {"dB", "10 log10(signal_energy / error_energy)"}, &ErrorStatistics::sqnrDb},
    {"relative_error", {"1", "error_energy / signal_energy"}, &ErrorStatistics::relativeError},
    {"cosine", {"1", "between the tensor before and after"}, &ErrorStatistics::cosine},
    {"clipped_ratio", {"1", "clipped / count"}, &ErrorStatistics::clippedRatio},
};

/// Attributes of /model that may be absent.
struct ConfigFigure {
    const char* name;
    std::optional<std::uint64_t> ModelConfig::*member;
};
inline constexpr ConfigFigure kConfigFigures[] = {
    {"hidden_size", &ModelConfig::hiddenSize},
    {"layers", &ModelConfig::layers},
    {"heads", &ModelConfig::heads},
    {"key_value_heads", &ModelConfig::keyValueHeads},
    {"head_dimension", &ModelConfig::headDimension},
    {"intermediate_size", &ModelConfig::intermediateSize},
    {"vocabulary", &ModelConfig::vocabulary},
    {"context_length", &ModelConfig::contextLength},
    {"experts", &ModelConfig::experts},
    {"experts_per_token", &ModelConfig::expertsPerToken},
    {"sliding_window", &ModelConfig::slidingWindow},
};

}  // namespace quantloupe::study_schema
