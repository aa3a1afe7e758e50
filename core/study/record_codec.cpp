// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/study/record_codec.h"

#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <type_traits>

namespace quantloupe {
namespace {

static_assert(
    std::endian::native == std::endian::little, "the journal holds little-endian numbers as they are in memory");

/// Appends fields to a payload.
class Writer
{
public:
    template<class T>
    void field(const T& value)
    {
        static_assert(std::is_arithmetic_v<T>);
        const auto bytes = std::as_bytes(std::span(&value, 1));
        m_bytes.insert(m_bytes.end(), bytes.begin(), bytes.end());
    }
    template<class T>
    void field(const std::vector<T>& values)
    {
        field(static_cast<std::uint64_t>(values.size()));
        const auto bytes = std::as_bytes(std::span(values));
        m_bytes.insert(m_bytes.end(), bytes.begin(), bytes.end());
    }
    void field(const std::string& text)
    {
        field(static_cast<std::uint64_t>(text.size()));
        const auto bytes = std::as_bytes(std::span(text));
        m_bytes.insert(m_bytes.end(), bytes.begin(), bytes.end());
    }
    void field(const Scheme& scheme) { field(scheme.toString()); }
    void field(bool flag) { field(static_cast<std::uint8_t>(flag)); }
    void field(const std::optional<std::uint32_t>& value)
    {
        field(value.has_value());
        field(value.value_or(0));
    }
    std::vector<std::byte> take() { return std::move(m_bytes); }

private:
    std::vector<std::byte> m_bytes;
};

/// Reads the same fields back; after the first one that does not fit nothing more is read.
class Reader
{
public:
    explicit Reader(std::span<const std::byte> bytes)
        : m_bytes(bytes)
    {
    }
    template<class T>
    void field(T& value)
    {
        static_assert(std::is_arithmetic_v<T>);
        if (const auto* source = take(sizeof(T)))
            std::memcpy(&value, source, sizeof(T));
    }
    template<class T>
    void field(std::vector<T>& values)
    {
        std::uint64_t count = 0;
        field(count);
        if (count > m_bytes.size() / sizeof(T)) {
            m_good = false;
            return;
        }
        values.resize(count);
        if (const auto* source = take(count * sizeof(T)); source && count != 0)
            std::memcpy(values.data(), source, count * sizeof(T));
    }
    void field(std::string& text)
    {
        std::uint64_t count = 0;
        field(count);
        if (const auto* source = take(count))
            text.assign(reinterpret_cast<const char*>(source), count);
    }
    void field(bool& flag)
    {
        std::uint8_t byte = 0;
        field(byte);
        m_good = m_good && byte <= 1;
        flag = byte != 0;
    }
    void field(std::optional<std::uint32_t>& value)
    {
        bool there = false;
        std::uint32_t number = 0;
        field(there);
        field(number);
        value = there ? std::optional(number) : std::nullopt;
    }
    void field(Scheme& scheme)
    {
        std::string text;
        field(text);
        auto parsed = Scheme::parse(text);
        m_good = m_good && parsed.has_value();
        if (parsed)
            scheme = std::move(*parsed);
    }
    bool good() const { return m_good; }
    bool atEnd() const { return m_bytes.empty(); }

private:
    const std::byte* take(std::uint64_t count)
    {
        if (!m_good || count > m_bytes.size()) {
            m_good = false;
            return nullptr;
        }
        const auto* source = m_bytes.data();
        m_bytes = m_bytes.subspan(count);
        return source;
    }

    std::span<const std::byte> m_bytes;
    bool m_good = true;
};

// One list of fields per type serves both directions, so that they cannot drift apart.
template<class Archive, class T>
void histogramFields(Archive& archive, T& histogram)
{
    archive.field(histogram.low);
    archive.field(histogram.high);
    archive.field(histogram.counts);
    archive.field(histogram.underflow);
    archive.field(histogram.overflow);
}

template<class Archive, class T>
void weightFields(Archive& archive, T& weights)
{
    auto& moments = weights.moments;
    archive.field(moments.pivot);
    archive.field(moments.count);
    archive.field(moments.sum1);
    archive.field(moments.sum2);
    archive.field(moments.sum3);
    archive.field(moments.sum4);
    archive.field(weights.minimum);
    archive.field(weights.maximum);
    archive.field(weights.absMax);
    archive.field(weights.zeros);
    archive.field(weights.nonFinite);
    archive.field(weights.beyond3Sigma);
    archive.field(weights.beyond6Sigma);
    histogramFields(archive, weights.histogram);
    archive.field(weights.survival);
    archive.field(weights.rowAbsMax);
    archive.field(weights.columnAbsMax);
    archive.field(weights.outlierRows);
    archive.field(weights.outlierColumns);
    archive.field(weights.percentile1);
    archive.field(weights.percentile99);
}

template<class Archive, class T>
void schemeFields(Archive& archive, T& measurement)
{
    archive.field(measurement.scheme);
    auto& error = measurement.error;
    archive.field(error.count);
    archive.field(error.nonFinite);
    archive.field(error.clipped);
    archive.field(error.signalEnergy);
    archive.field(error.quantizedEnergy);
    archive.field(error.errorEnergy);
    archive.field(error.dotProduct);
    archive.field(error.errorSum);
    archive.field(error.maxAbsError);
    archive.field(measurement.storedBytes);
    archive.field(measurement.bitsPerWeight);
    histogramFields(archive, measurement.errorHistogram);
    archive.field(measurement.rowErrorEnergy);
    archive.field(measurement.columnErrorEnergy);
}

template<class Archive, class T>
void divergenceFields(Archive& archive, T& divergence)
{
    archive.field(divergence.mean);
    archive.field(divergence.standardError);
    archive.field(divergence.predictions);
    archive.field(divergence.text);
}

template<class Archive, class T>
void outputFields(Archive& archive, T& measurement)
{
    archive.field(measurement.calibration);
    archive.field(measurement.outputError.energy);
    archive.field(measurement.outputError.signal);
    divergenceFields(archive, measurement.divergence);
}

template<class Archive, class T>
void predictedFields(Archive& archive, T& predicted)
{
    archive.field(predicted.kfac);
    archive.field(predicted.fisher);
}

template<class Archive, class T>
void channelFields(Archive& archive, T& sums)
{
    archive.field(sums.tokens);
    archive.field(sums.sum);
    archive.field(sums.squares);
    archive.field(sums.minimum);
    archive.field(sums.maximum);
    archive.field(sums.absSum);
    archive.field(sums.active);
}

template<class Archive, class T>
void layerFields(Archive& archive, T& outputs)
{
    archive.field(outputs.layer.tensor);
    archive.field(outputs.layer.expert);
    channelFields(archive, outputs.sums);
}

template<class Archive, class T>
void fileFields(Archive& archive, T& file)
{
    archive.field(file.name);
    archive.field(file.bytes);
    archive.field(file.checksum);
}

template<class Archive, class T>
void figureFields(Archive& archive, T& figures)
{
    archive.field(figures.texts);
    channelFields(archive, figures.inputs);
    archive.field(figures.tokenRanges.zeros);
    archive.field(figures.tokenRanges.firstBin);
    archive.field(figures.tokenRanges.counts);
    archive.field(figures.earlier.tokens);
    archive.field(figures.earlier.squares);
    archive.field(figures.earlier.absMax);
    fileFields(archive, figures.file);
}

template<class Archive, class T>
void gradientFields(Archive& archive, T& figures)
{
    archive.field(figures.layer.tensor);
    archive.field(figures.layer.expert);
    archive.field(figures.text.name);
    archive.field(figures.text.identity);
    archive.field(figures.text.predictions);
    archive.field(figures.text.windows);
    archive.field(figures.columns);
    archive.field(figures.squares);
    fileFields(archive, figures.file);
}

template<class Archive, class T>
void textFields(Archive& archive, T& text)
{
    archive.field(text.name);
    archive.field(text.identity);
    archive.field(text.tokens);
    archive.field(text.context);
    archive.field(text.moments);
    archive.field(text.complete);
}

}  // namespace

std::vector<std::byte> encodeMeasurement(const TensorMeasurement& measurement)
{
    Writer writer;
    writer.field(measurement.tensor);
    weightFields(writer, measurement.weights);
    writer.field(static_cast<std::uint64_t>(measurement.schemes.size()));
    for (const auto& scheme : measurement.schemes)
        schemeFields(writer, scheme);
    for (const auto& scheme : measurement.schemes)
        writer.field(scheme.importance);
    for (const auto& scheme : measurement.schemes)
        outputFields(writer, scheme);
    for (const auto& scheme : measurement.schemes)
        predictedFields(writer, scheme.predicted);
    return writer.take();
}

std::optional<TensorMeasurement> decodeMeasurement(std::span<const std::byte> payload)
{
    Reader reader(payload);
    TensorMeasurement measurement;
    reader.field(measurement.tensor);
    weightFields(reader, measurement.weights);
    std::uint64_t schemes = 0;
    reader.field(schemes);
    // Grows one by one: a count that lies runs out of payload before it runs out of memory.
    for (std::uint64_t i = 0; i < schemes && reader.good(); ++i)
        schemeFields(reader, measurement.schemes.emplace_back());
    if (!reader.atEnd())  // records of earlier versions end here: nothing was weighed then
        for (auto& scheme : measurement.schemes)
            reader.field(scheme.importance);
    if (!reader.atEnd())  // likewise: no inputs were known
        for (auto& scheme : measurement.schemes)
            outputFields(reader, scheme);
    if (!reader.atEnd())  // likewise: no gradients were
        for (auto& scheme : measurement.schemes)
            predictedFields(reader, scheme.predicted);
    if (!reader.good() || !reader.atEnd())
        return std::nullopt;
    return measurement;
}

std::vector<std::byte> encodeFigures(const InputFigures& figures)
{
    Writer writer;
    writer.field(static_cast<std::uint64_t>(figures.layers.size()));
    for (const auto& layer : figures.layers)
        layerFields(writer, layer);
    figureFields(writer, figures);
    return writer.take();
}

std::optional<InputFigures> decodeFigures(std::span<const std::byte> payload)
{
    Reader reader(payload);
    InputFigures figures;
    std::uint64_t layers = 0;
    reader.field(layers);
    for (std::uint64_t i = 0; i < layers && reader.good(); ++i)
        layerFields(reader, figures.layers.emplace_back());
    figureFields(reader, figures);
    if (!reader.good() || !reader.atEnd() || !isWhole(figures))
        return std::nullopt;
    return figures;
}

std::vector<std::byte> encodeGradients(const GradientFigures& figures)
{
    Writer writer;
    gradientFields(writer, figures);
    return writer.take();
}

std::optional<GradientFigures> decodeGradients(std::span<const std::byte> payload)
{
    Reader reader(payload);
    GradientFigures figures;
    gradientFields(reader, figures);
    if (!reader.good() || !reader.atEnd() || !isWhole(figures))
        return std::nullopt;
    return figures;
}

std::vector<std::byte> encodeMeasuredRecipe(const MeasuredRecipe& measured)
{
    Writer writer;
    writer.field(measured.recipe.toJson());
    writer.field(measured.textName);
    writer.field(measured.calibration);
    divergenceFields(writer, measured.divergence);
    return writer.take();
}

std::optional<MeasuredRecipe> decodeMeasuredRecipe(std::span<const std::byte> payload)
{
    Reader reader(payload);
    MeasuredRecipe measured;
    std::string text;
    reader.field(text);
    reader.field(measured.textName);
    reader.field(measured.calibration);
    divergenceFields(reader, measured.divergence);
    if (!reader.good() || !reader.atEnd() || !measured.divergence.known())
        return std::nullopt;
    auto recipe = Recipe::fromJson(text, "recipe");
    if (!recipe)
        return std::nullopt;
    measured.recipe = std::move(*recipe);
    return measured;
}

std::vector<std::byte> encodeTexts(const std::vector<CalibrationText>& texts)
{
    Writer writer;
    writer.field(static_cast<std::uint64_t>(texts.size()));
    for (const auto& text : texts)
        textFields(writer, text);
    return writer.take();
}

std::optional<std::vector<CalibrationText>> decodeTexts(std::span<const std::byte> payload)
{
    Reader reader(payload);
    std::vector<CalibrationText> texts;
    std::uint64_t count = 0;
    reader.field(count);
    for (std::uint64_t i = 0; i < count && reader.good(); ++i)
        textFields(reader, texts.emplace_back());
    if (!reader.good() || !reader.atEnd())
        return std::nullopt;
    return texts;
}

}  // namespace quantloupe
