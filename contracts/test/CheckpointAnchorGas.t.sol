// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {CheckpointAnchor} from "../src/CheckpointAnchor.sol";
import {vm} from "./Vm.sol";

/// @notice Gas of whole transactions, the 21,000 and the calldata included, kept in snapshots/CheckpointAnchor.json with
/// the size of the code. The sizes are those of a huge log, so that the calldata is not cheaper than in use.
contract CheckpointAnchorGasTest {
    uint256 private constant MAX_REPEATED_ANCHOR_GAS = 35_500;
    bytes32 private constant ORIGIN = sha256("example.org/log");
    bytes32 private constant ROOT = keccak256("root");
    bytes32 private constant NEXT_ROOT = keccak256("next root");
    uint64 private constant SIZE = 0x0123456789abcdef;

    CheckpointAnchor private anchors;

    function setUp() public {
        anchors = new CheckpointAnchor();
    }

    /// @dev Each byte of code costs 200 gas to deploy.
    function test_sizeOfTheCode() public {
        vm.snapshotValue("CheckpointAnchor", "code, bytes", address(anchors).code.length);
    }

    function test_gasOfFirstAnchor() public {
        anchors.anchor(ORIGIN, SIZE, ROOT);
        vm.snapshotGasLastCall("CheckpointAnchor", "first anchor");
    }

    function test_gasOfRepeatedAnchor() public {
        anchors.anchor(ORIGIN, SIZE, ROOT);
        anchors.anchor(ORIGIN, SIZE + 1, NEXT_ROOT);
        uint256 gas = vm.snapshotGasLastCall("CheckpointAnchor", "repeated anchor");
        vm.assertLe(gas, MAX_REPEATED_ANCHOR_GAS, "gas of a repeated anchor");
    }

    function test_gasOfUnchangedAnchor() public {
        anchors.anchor(ORIGIN, SIZE, ROOT);
        anchors.anchor(ORIGIN, SIZE, ROOT);
        vm.snapshotGasLastCall("CheckpointAnchor", "unchanged anchor");
    }
}
