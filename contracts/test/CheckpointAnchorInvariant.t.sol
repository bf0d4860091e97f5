// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {CheckpointAnchor} from "../src/CheckpointAnchor.sol";
import {AnchorHandler} from "./AnchorHandler.sol";
import {vm} from "./Vm.sol";

/// @notice What holds after any sequence of calls by any publishers.
contract CheckpointAnchorInvariantTest {
    CheckpointAnchor private anchors;
    AnchorHandler private handler;

    function setUp() public {
        anchors = new CheckpointAnchor();
        handler = new AnchorHandler(anchors);
    }

    /// @dev Foundry calls the handler alone; it calls the contract.
    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    function invariant_sizesNeverShrink() public view {
        vm.assertEq(handler.shrunk(), 0, "heads that shrank");
        vm.assertEq(handler.refusedYetChanged(), 0, "heads that changed to what nobody asked for");
    }

    function invariant_theRootOfASizeNeverChanges() public view {
        vm.assertEq(handler.rewritten(), 0, "sizes accepted with a second root");
        forEachHead(this.checkRoot);
    }

    function invariant_sequencesCountTheChangesOfTheHead() public view {
        vm.assertEq(handler.wrongSequenceReturned(), 0, "calls that returned another sequence than the head's");
        forEachHead(this.checkSequence);
    }

    function invariant_eventsAreTheHistory() public view {
        vm.assertEq(handler.wrongEvent(), 0, "events that do not say what was anchored");
        forEachHead(this.checkEvents);
    }

    function invariant_noCallTouchesAnotherHead() public view {
        forEachHead(this.checkHead);
    }

    /// @dev A handler whose calls were all refused, or all accepted, would make the invariants hold of nothing.
    function test_handlerMeetsBothOutcomes() public {
        handler.anchorSmall(0, 0, 7, 0);
        handler.anchorSmall(1, 0, 9, 1);
        handler.anchorAnything(0, type(uint64).max - 1, keccak256("any root"));
        handler.grow(0, 0, 2, 1);
        handler.again(0, 0);
        vm.assertEq(handler.accepted(), 5, "accepted");
        vm.assertEq(handler.refused(), 0, "refused");
        handler.contradict(0, 0, true, 1);
        handler.contradict(0, 0, false, 0);
        handler.again(2, 0);
        vm.assertEq(handler.accepted(), 5, "accepted");
        vm.assertEq(handler.refused(), 3, "refused");
        (uint64 size, bytes32 root, uint64 changes, uint64 events) =
            handler.observed(handler.publisherAt(0), handler.originAt(0));
        vm.assertEq(size, 10, "size");
        vm.assertEq(root, handler.acceptedRoot(handler.publisherAt(0), handler.originAt(0), 10), "root");
        vm.assertEq(changes, 2, "changes");
        vm.assertEq(events, 2, "events");
    }

    function checkRoot(address publisher, bytes32 origin) external view {
        (uint64 size,, bytes32 root) = anchors.head(publisher, origin);
        vm.assertEq(root, handler.acceptedRoot(publisher, origin, size), "root of the head's size");
    }

    function checkSequence(address publisher, bytes32 origin) external view {
        (, uint64 sequence,) = anchors.head(publisher, origin);
        (,, uint64 changes,) = handler.observed(publisher, origin);
        vm.assertEq(sequence, changes, "sequence against changes of the head");
    }

    function checkEvents(address publisher, bytes32 origin) external view {
        (,, uint64 changes, uint64 events) = handler.observed(publisher, origin);
        vm.assertEq(events, changes, "events against changes of the head");
    }

    function checkHead(address publisher, bytes32 origin) external view {
        (uint64 size,, bytes32 root) = anchors.head(publisher, origin);
        (uint64 acceptedSize, bytes32 acceptedRoot,,) = handler.observed(publisher, origin);
        vm.assertEq(size, acceptedSize, "size against the last accepted call");
        vm.assertEq(root, acceptedRoot, "root against the last accepted call");
    }

    function forEachHead(function(address, bytes32) external view check) private view {
        for (uint256 publisher = 0; publisher < handler.PUBLISHERS(); publisher++) {
            for (uint256 origin = 0; origin < handler.ORIGINS(); origin++) {
                check(handler.publisherAt(publisher), handler.originAt(origin));
            }
        }
    }
}
