// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/calibration/input_gatherer.h"

#include "core/inference/pieces.h"

#include <algorithm>
#include <cmath>

namespace quantloupe {
namespace {

/// Tokens whose products are summed in float32 before they are added in double.
constexpr std::size_t kTokensPerSum = 512;

GatheredInput nothingYet(const Decoder& decoder, const SharedInput& input, std::size_t sampleTokens)
{
    InputFigures figures {.layers = {}, .inputs = ChannelSums::ofInputs(input.columns())};
    for (const auto& layer : input.layers)
        figures.layers.push_back({nameOf(decoder, layer), ChannelSums::ofOutputs(layer.outputs)});
    return {std::move(figures), SecondMoments(input.columns()), TokenSample(input.columns(), sampleTokens)};
}

float largestSize(const float* x, std::size_t count)
{
    float largest = 0.0F;
    for (std::size_t i = 0; i < count; ++i)
        largest = std::max(largest, std::abs(x[i]));
    return largest;
}

}  // namespace

InputGatherer::InputGatherer(const Decoder& decoder, const std::vector<SharedInput>& inputs,
    const GatheringOptions& options, const std::set<std::string>& known)
    : m_options(options)
{
    for (const auto& input : inputs) {
        if (known.contains(nameOf(decoder, input.layers.front()).text()))
            continue;
        for (std::size_t i = 0; i < input.layers.size(); ++i)
            m_places[{input.layers[i].tensor, input.layers[i].firstRow}] = {m_gathered.size(), i};
        m_gathered.push_back(nothingYet(decoder, input, options.sampleTokens));
    }
    m_passedHalf.resize(m_gathered.size());
    m_slots.resize(m_gathered.size());
}

void InputGatherer::expect(const HiddenStates& states)
{
    m_firstToken = states.firstToken;
    m_tiles = tilesOf(states);
    for (auto& slots : m_slots)
        slots.assign(m_tiles.size(), {});
}

const InputGatherer::Place* InputGatherer::placeOf(const LinearLayer& layer) const
{
    const auto found = m_places.find({layer.tensor, layer.firstRow});
    return found == m_places.end() ? nullptr : &found->second;
}

InputGatherer::Slot& InputGatherer::slotOf(const Place& place, std::size_t firstToken)
{
    const auto tile = std::lower_bound(m_tiles.begin(), m_tiles.end(), firstToken - m_firstToken,
        [](const TokenTile& a, std::size_t row) { return a.firstRow < row; });
    return m_slots[place.input][static_cast<std::size_t>(tile - m_tiles.begin())];
}

void InputGatherer::observeInputs(const LayerValues& values)
{
    const auto* place = placeOf(values.layer);
    if (!place || place->layer != 0)  // the others read the same
        return;
    auto& slot = slotOf(*place, values.firstToken);
    const auto& rows = values.values;
    slot.sums = ChannelSums::ofInputs(rows.columns);
    slot.sums.add(rows);
    slot.rows.resize(rows.rows * rows.columns);
    slot.tokenAbsMax.resize(rows.rows);
    for (std::size_t i = 0; i < rows.rows; ++i) {
        std::copy_n(rows.row(i), rows.columns, slot.rows.data() + i * rows.columns);
        slot.tokenAbsMax[i] = largestSize(rows.row(i), rows.columns);
    }
}

void InputGatherer::observeOutputs(const LayerValues& values)
{
    const auto* place = placeOf(values.layer);
    if (!place)
        return;
    auto& outputs = slotOf(*place, values.firstToken).outputs;
    outputs.resize(m_gathered[place->input].figures.layers.size());
    outputs[place->layer] = ChannelSums::ofOutputs(values.values.columns);
    outputs[place->layer].add(values.values);
}

void InputGatherer::foldFigures(std::size_t input, const std::stop_token& stop)
{
    auto& [figures, moments, sample] = m_gathered[input];
    for (std::size_t i = 0; i < m_tiles.size() && !stop.stop_requested(); ++i) {
        const auto firstToken = m_firstToken + m_tiles[i].firstRow;
        if (m_passedHalf[input] == 0 && firstToken >= m_options.halfway) {
            m_passedHalf[input] = 1;
            if (figures.inputs.tokens > 0)
                figures.earlier = {figures.inputs.tokens, figures.inputs.squares, figures.inputs.absMax()};
        }
        const auto& slot = m_slots[input][i];
        if (slot.tokenAbsMax.empty())
            continue;
        figures.inputs += slot.sums;
        for (std::size_t layer = 0; layer < slot.outputs.size(); ++layer)
            if (slot.outputs[layer].tokens > 0)
                figures.layers[layer].sums += slot.outputs[layer];
        for (std::size_t row = 0; row < slot.tokenAbsMax.size(); ++row) {
            figures.tokenRanges.add(slot.tokenAbsMax[row]);
            // Of an expert this is the token's place among those that came here: still a number of its own.
            sample.offer(m_options.firstNumber + firstToken + row, slot.rows.data() + row * figures.columns());
        }
    }
}

void InputGatherer::foldSquare(std::size_t input, const MomentSquare& square, const std::stop_token& stop)
{
    auto& gathered = m_gathered[input];
    const auto columns = gathered.figures.columns();
    std::vector<kernels::ConstMatrix> pieces;
    for (std::size_t i = 0; i < m_tiles.size() && !stop.stop_requested(); ++i) {
        const auto& rows = m_slots[input][i].rows;
        if (!rows.empty())
            pieces.push_back({rows.data(), rows.size() / columns, columns, columns});
        const bool last = i + 1 == m_tiles.size() || m_tiles[i + 1].sequence != m_tiles[i].sequence
            || m_tiles[i + 1].firstPosition % kTokensPerSum == 0;
        if (!last || pieces.empty())
            continue;
        gathered.moments.add(square, pieces);
        pieces.clear();
    }
}

Result<void> InputGatherer::fold(const std::stop_token& stop, const ProgressShare& progress)
{
    struct Piece {
        std::size_t input;
        const MomentSquare* square;  ///< null: the figures
    };
    std::vector<Piece> pieces;
    for (std::size_t i = 0; i < m_gathered.size(); ++i) {
        pieces.push_back({i, nullptr});
        const bool empty =
            std::all_of(m_slots[i].begin(), m_slots[i].end(), [](const Slot& slot) { return slot.rows.empty(); });
        if (!m_options.moments || empty)
            continue;
        m_gathered[i].moments.allocate();
        for (const auto& square : m_gathered[i].moments.layout().squares())
            pieces.push_back({i, &square});
    }
    forEachPiece(pieces.size(), stop, [&](std::size_t i) {
        if (pieces[i].square)
            foldSquare(pieces[i].input, *pieces[i].square, stop);
        else
            foldFigures(pieces[i].input, stop);
        progress.advance(i, i + 1, pieces.size());
    });
    for (auto& slots : m_slots)
        slots.clear();
    return stop.stop_requested() ? Result<void>(stopped("calibration")) : Result<void>();
}

std::uint64_t InputGatherer::fixedBytes(const std::vector<SharedInput>& inputs, const GatheringOptions& options)
{
    std::uint64_t bytes = 0;
    for (const auto& input : inputs) {
        if (options.moments)
            bytes += MomentLayout::sizeFor(input.columns()) * sizeof(double);
        bytes += 2 * std::uint64_t {options.sampleTokens} * input.columns() * sizeof(float);
    }
    return bytes;
}

std::uint64_t InputGatherer::bytesPerToken(const std::vector<SharedInput>& inputs)
{
    double bytes = 0.0;
    for (const auto& input : inputs) {
        // The copied row, and a 128th of a tile's sums: 40 bytes of an input's channel, 24 of an output's.
        auto perToken = static_cast<double>(input.columns()) * (sizeof(float) + 40.0 / tokensPerTile);
        for (const auto& layer : input.layers)
            perToken += static_cast<double>(layer.outputs) * 24.0 / tokensPerTile;
        bytes += perToken * input.share;
    }
    return static_cast<std::uint64_t>(bytes) + 1;
}

}  // namespace quantloupe
